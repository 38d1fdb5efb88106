"""Dataset preparation and random access to the clips of a dataset."""
