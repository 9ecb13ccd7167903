"""What a search leaves for readers: its history as Parquet, its page, its figures for TensorBoard."""
