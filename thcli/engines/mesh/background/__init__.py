"""Separation of a source into person and background."""
