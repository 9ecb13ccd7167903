"""The machine: what a latency depends on, and the state it is in."""
