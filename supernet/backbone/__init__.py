"""Networks in two parts: a backbone that is frozen, and cells trained on its features."""
