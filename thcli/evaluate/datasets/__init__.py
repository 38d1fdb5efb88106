"""Readers of labelled data and generators of synthetic clips."""
