"""The latency budget as a hard constraint: accept, reject or measure."""
