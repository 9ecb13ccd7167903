"""The outputs of a search for people: its history as Parquet, its HTML page, its TensorBoard figures."""
