"""Operators as plain data: what one is (`spec.py`), and the kinds that Latlas knows, which importing this registers."""

from latlas.spaces.operators import cell, chain

__all__ = ["cell", "chain"]
