"""From measured subnets to a predictor: which to measure, measuring, learning, adapting, showing."""
