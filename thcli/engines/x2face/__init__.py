"""X2Face: unwraps a source onto a mosaic face and re-poses it by a driving code of 128 numbers.

Source: Wiles et al. 2018.
"""
