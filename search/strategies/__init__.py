"""Strategies that suggest architectures and learn, and the loop that asks them."""
