"""Operators as plain data: their spec (`spec.py`) and Latlas' own kinds, which the import of this package registers."""

from latlas.spaces.operators import cell, chain

__all__ = ["cell", "chain"]
