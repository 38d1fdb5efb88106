"""Pictures that Real3D-Portrait's networks read, made of a source image."""
