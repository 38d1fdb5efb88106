"""Training of resshift-s, the refiner by residual shifting."""
