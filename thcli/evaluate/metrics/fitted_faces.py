"""Faces in the numbers of a 3-D model, each looked at once however many rows and metrics ask for it."""

from __future__ import annotations

from collections import OrderedDict

from thcli.core.errors import NoFaceError
from thcli.core.protocols import FaceModel
from thcli.core.types import Coefficients, Face, Image

REMEMBERED = 32  # faces: more than a frame has rows


class Fitted:
    """A 3-D model with a short memory of faces, told apart as objects: whoever asks again must have the same one."""

    def __init__(self, model: FaceModel) -> None:
        self._model = model
        self._seen: OrderedDict[int, tuple[Face, Coefficients | None]] = OrderedDict()

    def of(self, picture: Image, face: Face | None) -> Coefficients | None:
        """One row of numbers; None without a face, or where the model cannot read it."""
        if face is None:
            return None
        known = self._seen.get(id(face))  # a face that is kept here keeps its id
        if known is None:
            known = self._seen[id(face)] = face, self._fit(picture, face)
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return known[1]

    def _fit(self, picture: Image, face: Face) -> Coefficients | None:
        try:
            return self._model.fit([picture], [face])
        except NoFaceError:
            return None
