"""Audio-to-motion model of Real3D-Portrait (Ye et al., ICLR 2024)."""
