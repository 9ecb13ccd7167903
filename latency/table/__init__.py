"""The latency table: its rows, its manifest and its Parquet file, and how tables are merged and compared."""
