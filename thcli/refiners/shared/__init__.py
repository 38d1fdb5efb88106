"""Bands of detail and their comparison, shared by refiners."""
