"""HTML report of an evaluation: one folder that works from a disk, without a network."""
