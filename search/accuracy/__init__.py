"""Predicts the quality of an architecture from its codes."""
