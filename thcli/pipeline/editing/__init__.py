"""Edits of faces by attribute or text."""
