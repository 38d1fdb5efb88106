"""Estimation of atlas-s, the atlas of facial attributes."""
