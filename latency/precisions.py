"""The names of the precisions, without the modules that measure them: the command line checks names before it loads those."""

from __future__ import annotations

PRECISIONS = ("f32", "bf16", "int8")
