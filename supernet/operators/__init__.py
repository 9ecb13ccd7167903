"""The operators as torch modules."""
