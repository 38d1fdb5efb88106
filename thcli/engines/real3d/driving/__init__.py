"""Head motion of Real3D-Portrait: from a driver to poses and expressions of the 3-D face model."""
