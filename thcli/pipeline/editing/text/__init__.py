"""Descriptions in words, read as attributes with strengths and colours."""
