"""Drawn pictures of persons among things, with their masks."""
