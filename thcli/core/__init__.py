"""Errors, events, options, values and geometry shared by all layers. No I/O, no torch at import."""
