"""The fastest and slowest networks of a space, exactly, and the share of it within a budget."""
