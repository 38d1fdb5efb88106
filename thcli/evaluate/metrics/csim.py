"""CSIM: cosine similarity of the identities of result and truth."""

from __future__ import annotations

from collections import OrderedDict

from thcli.core.protocols import IdentityEncoder
from thcli.core.types import Array32, Face, Image
from thcli.evaluate.metrics.table import FACE, Mean, Metric, Sample

CACHED = 32  # faces; more than a frame has rows


class IdentityCache:
    """Identity backend with a cache of recent faces, which are compared as objects.

    The truth is encoded once for all rows.
    """

    def __init__(self, encoder: IdentityEncoder) -> None:
        self._encoder = encoder
        self._seen: OrderedDict[int, tuple[Face, Array32]] = OrderedDict()

    def get(self, image: Image, face: Face) -> Array32:
        """Return the identity of a face as a unit vector."""
        known = self._seen.get(id(face))  # cached faces stay alive, so ids are unique
        if known is None:
            known = self._seen[id(face)] = face, self._encoder.identify(image, face).vector
            if len(self._seen) > CACHED:
                self._seen.popitem(last=False)
        return known[1]


def csim_metric(encoder: IdentityEncoder, name: str = "csim") -> Metric:
    """Return the metric of an identity backend, over frames with both faces."""
    identities = IdentityCache(encoder)

    def cosine(sample: Sample) -> float | None:
        true, made = sample.truth.face, sample.face
        if true is None or made is None:
            return None
        return float(identities.get(sample.truth.frame, true) @ identities.get(sample.frame, made))

    return Metric(
        name,
        "",
        "higher",
        "cosine of the identities of result and truth",
        FACE,
        lambda: Mean(cosine),
        encoder.name,
    )
