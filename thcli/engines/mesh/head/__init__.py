"""Head beyond the mesh: outline, depth, and the texture of what turns into view."""
