"""Published tables: names, index, stores, push and pull."""
