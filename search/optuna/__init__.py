"""Optuna's samplers as strategies, and studies that processes share."""
