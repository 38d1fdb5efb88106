"""Engines: source + motion -> pictures."""
