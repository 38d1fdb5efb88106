"""What every layer shares: errors, events, options, values, geometry. No I/O and no torch at import."""
