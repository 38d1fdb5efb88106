"""Real3D-Portrait's audio-to-motion model (Ye et al., ICLR 2024)."""
