"""Optuna's samplers as strategies, and studies that several processes share."""
