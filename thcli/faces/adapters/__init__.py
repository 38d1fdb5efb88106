"""Adapters to the face libraries among the dependencies: detectors, landmarkers and identities behind our own Protocols.

Each module imports its library only when it is itself imported, which the table of backends does on first use. None lets its
library download anything: the weights come through `thcli.weights`.
"""
