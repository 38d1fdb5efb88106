"""Blind studies: a page that people judge results on, and the analysis of their answers."""
