"""Transfer of a driver's head and expression to a source."""
