"""Training of identity-s, the face recognition network."""
