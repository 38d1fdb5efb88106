"""Distances between sets of images or clips."""
