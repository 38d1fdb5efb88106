"""Real3D-Portrait: a source image to tri-planes, a volume rendering, torso and background."""
