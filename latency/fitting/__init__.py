"""From measured subnets to a predictor: choose subnets, measure, learn, adapt and show."""
