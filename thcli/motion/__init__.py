"""Motion as small numbers: the motion file, pose and expression, retargeting, smoothing, regions."""
