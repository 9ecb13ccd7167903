"""Photographs and masks: how they are read or drawn, checked and augmented."""
