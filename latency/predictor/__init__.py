"""The latency predictor, which is learnt from measured subnets, and its file."""
