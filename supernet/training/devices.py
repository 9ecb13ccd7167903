"""Where a network may be trained, apart from what trains it: the command line checks it before it loads that."""

from __future__ import annotations

DEVICES = ("auto", "cpu", "cuda")
