"""Face of the driver that corresponds to the source, and measurements of the driver's frames."""
