"""The file name and the metadata key that tell a search's history from a table. This module loads nothing."""

from __future__ import annotations

FILE_NAME = "history.parquet"
METADATA_KEY = b"latlas_history"
