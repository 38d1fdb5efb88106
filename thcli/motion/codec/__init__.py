"""Codec of motion: a few hundred bits a frame, for conferencing (docs/conferencing.md)."""
