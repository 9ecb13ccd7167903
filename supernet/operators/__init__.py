"""Operators in torch."""
