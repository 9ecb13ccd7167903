"""The devices a network may be trained on. They stand alone so that the command line checks them before it loads torch."""

from __future__ import annotations

DEVICES = ("auto", "cpu", "cuda")
