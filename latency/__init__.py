"""Measuring, tables and prediction of latency; imports nothing above it."""
