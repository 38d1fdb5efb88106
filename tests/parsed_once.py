"""Regions of pictures that many tests animate, found once in a process."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from thcli.core.types import Face, Image
from thcli.engines.mesh.source_networks import ParsedSource, SourceNetworks
from thcli.faces.detection import hands
from thcli.faces.parsing import graph

KEPT = 8  # pictures, 10 MB each
_FOUND: dict[tuple[object, ...], ParsedSource | None] = {}


@pytest.fixture(autouse=True)
def parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find the regions of a picture again only where it, its face, options or networks differ.

    That is a tenth of a short job. Nothing may change them: their arrays are read-only.
    """
    parse = SourceNetworks.parse

    def once(self: SourceNetworks, image: Image, face: Face) -> ParsedSource | None:
        if face.mesh is None:
            return parse(self, image, face)
        digest = hashlib.blake2b(np.ascontiguousarray(image).data)
        digest.update(face.mesh.tobytes() + np.asarray(face.box).tobytes())
        key = (digest.digest(), image.shape, repr(self._run), graph.load, hands.load)
        if key not in _FOUND:
            if len(_FOUND) == KEPT:
                _FOUND.pop(next(iter(_FOUND)))
            _FOUND[key] = parsed = parse(self, image, face)
            if parsed is not None:
                for array in (parsed.face.probabilities, parsed.body.probabilities, parsed.hands):
                    array.flags.writeable = False
        return _FOUND[key]

    monkeypatch.setattr(SourceNetworks, "parse", once)
