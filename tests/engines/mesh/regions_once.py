"""Regions of source pictures that the mesh engine's networks find once for several jobs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from thcli.core.types import Face, Image
from thcli.engines.mesh.source_networks import ParsedSource, SourceNetworks

KEPT = 4  # of 10 MB each


def find_once(patch: pytest.MonkeyPatch, found: dict[bytes, ParsedSource | None]) -> None:
    """Let a test find the regions of a face once for equal pictures, faces and options.

    For tests that animate one picture again and again and are not about its regions: their networks
    are a quarter of a short job's time. They are not loaded where their result is known, so that a
    job's note does not name them.

    Args:
        patch: of the test.
        found: what earlier tests found.
    """
    parse = SourceNetworks.parse

    def find(self: SourceNetworks, image: Image, face: Face) -> ParsedSource | None:
        key = pickle.dumps((self._run, np.ascontiguousarray(image), face))
        if key not in found:
            if len(found) == KEPT:
                del found[next(iter(found))]
            found[key] = parse(self, image, face)
        return found[key]

    patch.setattr(SourceNetworks, "parse", find)
