"""CSIM: whether the result shows the person of the truth, in the numbers of an identity backend."""

from __future__ import annotations

from collections import OrderedDict

from thcli.core.protocols import IdentityEncoder
from thcli.core.types import Array32, Face, Image
from thcli.evaluate.metrics.table import FACE, Mean, Metric, Sample

REMEMBERED = 32  # faces: more than a frame has rows


class Known:
    """An identity backend with a short memory of faces, told apart as objects: the truth is looked at once for all rows."""

    def __init__(self, encoder: IdentityEncoder) -> None:
        self._encoder = encoder
        self._seen: OrderedDict[int, tuple[Face, Array32]] = OrderedDict()

    def of(self, picture: Image, face: Face) -> Array32:
        """Who a face of a picture is, a unit vector."""
        known = self._seen.get(id(face))  # a face that is kept here keeps its id
        if known is None:
            known = self._seen[id(face)] = face, self._encoder.identify(picture, face).vector
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return known[1]


def csim(encoder: IdentityEncoder) -> Metric:
    """The mean cosine of the identities of result and truth, over the frames in which both show a face; named with the backend."""
    known = Known(encoder)

    def cosine(sample: Sample) -> float | None:
        true, made = sample.place.face, sample.face
        if true is None or made is None:
            return None
        return float(known.of(sample.place.whole, true) @ known.of(sample.whole, made))

    return Metric(
        "csim",
        "",
        "higher",
        "cosine of the identities of result and truth",
        FACE,
        lambda: Mean(cosine),
        encoder.name,
    )
