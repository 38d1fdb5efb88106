"""Fine detail of a source image, transferred to the coarse frames of its person."""
