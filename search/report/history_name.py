"""How a search's history is told from a table: its file's name, and the key of its metadata. Loads nothing."""

from __future__ import annotations

FILE_NAME = "history.parquet"
METADATA_KEY = b"latlas_history"
