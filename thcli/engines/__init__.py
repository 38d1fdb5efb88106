"""Engines: source and motion to images."""
