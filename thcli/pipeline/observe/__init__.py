"""Pass 1: detection, tracking and crops of faces, kept as small numbers on disk."""
