"""The latency predictor that is learnt from measured subnets, and its file."""
