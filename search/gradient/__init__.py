"""Distributions over architectures that are trained by gradients within a budget."""
