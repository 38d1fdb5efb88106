"""Cache of 3-D model coefficients, so that each face is fitted once for all rows and metrics."""

from __future__ import annotations

from collections import OrderedDict

from thcli.core.errors import NoFaceError
from thcli.core.protocols import FaceModel
from thcli.core.types import Coefficients, Face, Image

CACHED = 32  # faces; more than a frame has rows


class FaceFitCache:
    """3-D model with a cache of recent faces, which are compared as objects.

    Callers must pass the same object for the same face.
    """

    def __init__(self, model: FaceModel) -> None:
        self._model = model
        self._seen: OrderedDict[int, tuple[Face, Coefficients | None]] = OrderedDict()

    def get(self, image: Image, face: Face | None) -> Coefficients | None:
        """Return the coefficients of a face; None without a face or when the fit fails."""
        if face is None:
            return None
        known = self._seen.get(id(face))  # cached faces stay alive, so ids are unique
        if known is None:
            known = self._seen[id(face)] = face, self._fit(image, face)
            if len(self._seen) > CACHED:
                self._seen.popitem(last=False)
        return known[1]

    def _fit(self, image: Image, face: Face) -> Coefficients | None:
        try:
            return self._model.fit([image], [face])
        except NoFaceError:
            return None
