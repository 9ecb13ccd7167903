"""Latencies that somebody else measured, and predictors learnt from them."""
