"""Supernet and subnet in torch, their weights and files."""
