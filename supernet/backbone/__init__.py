"""Networks in two parts: a frozen backbone, and cells trained on its features."""
