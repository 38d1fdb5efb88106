"""Convolutions that are faster than the library's, with the same output."""
