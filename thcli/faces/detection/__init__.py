"""Face detectors of our own."""
