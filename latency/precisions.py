"""The precisions that networks are measured in, apart from what knows how: the command line checks them before it loads that."""

from __future__ import annotations

PRECISIONS = ("f32", "bf16", "int8")
