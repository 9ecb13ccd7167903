"""Persons among things, drawn, with their masks."""
