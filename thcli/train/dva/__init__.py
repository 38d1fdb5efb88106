"""Training of dva-s and fitting of its attribute directions."""
