"""Face of the driver that corresponds to the source, and the measurements it is chosen by."""
