"""Search spaces, torch operators, weight sharing, data and training; imports latlas.latency only for operators."""
