"""Whether this machine can measure now."""
