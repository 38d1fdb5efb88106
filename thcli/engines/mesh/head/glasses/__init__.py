"""Glasses that a source wears: a rigid piece on the head."""
