"""Constraint, strategies, the search loop and its reports; imports latlas.supernet and latlas.latency."""
