"""Face landmarks: the 468-point mesh, its topology, and layouts of other landmarkers."""
