"""The latency table: rows, manifest, Parquet file, merge, comparison."""
