"""Reads and writes the latency tables of other projects."""
