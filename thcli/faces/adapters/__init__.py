"""Adapters of the face libraries to our own protocols: detectors, landmarkers, identities, parsers.

Each module imports its library when it is imported itself, which `Stage` does on first use of a
backend. No library downloads anything: weights come through `thcli.weights`.
"""
