"""Brightness of skin that changes: folds, lines, dark corners, light that a head turns in."""
