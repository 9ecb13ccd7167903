"""The supernet and the subnet in torch, with their weights and files."""
