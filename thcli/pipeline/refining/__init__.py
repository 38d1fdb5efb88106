"""Refinement of faces in coarse frames."""
