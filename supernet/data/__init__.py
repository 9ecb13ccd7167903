"""Photographs and masks, read or drawn, and what is done to them before training."""
