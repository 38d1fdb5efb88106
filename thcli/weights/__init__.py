"""Weights: the registry weights.toml, fetching, verifying, importing, safe loading."""
