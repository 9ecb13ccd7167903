"""Distributions over architectures, trained by gradients within a budget."""
