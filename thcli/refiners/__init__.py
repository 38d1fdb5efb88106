"""Refiners: source and coarse frame to refined frame."""
