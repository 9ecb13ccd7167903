"""Strategies that suggest and learn, and the loop that asks them."""
