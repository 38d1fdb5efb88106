"""Faces of a source image, encoded before pass 1, so that helpers start meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from thcli.core.protocols import Engine, GroupEngine, PicturesEngine, WarningEngine
from thcli.core.types import Array32, Face
from thcli.pipeline.render.face_shares import face_shares
from thcli.pipeline.sources.framing import encode_crops
from thcli.pipeline.sources.source_image import SourceImage


@dataclass(frozen=True, slots=True)
class EncodedFace:
    """A face that moves, as an engine encodes it.

    face: of the image.
    source: identity and appearance.
    share: (H, W) blend weight over the faces before it; None for the only face of a picture.
    """

    face: Face
    source: Any
    share: Array32 | None = None


def encode_faces(
    engine: Engine,
    source: SourceImage,
    driven: Sequence[bool],
    pictures: Sequence[SourceImage],
    warn: Callable[[str], None],
) -> list[EncodedFace]:
    """Encode the driven faces of an image.

    Args:
        engine: animates them.
        source: the image.
        driven: whether each of its faces has a driver.
        pictures: further pictures of the only face.
        warn: takes what a face does without.
    """
    moving = [face for face, moves in zip(source.faces, driven, strict=True) if moves]
    encoded = [_encode_face(engine, source, face, pictures) for face in moving]
    if isinstance(engine, WarningEngine):
        for warning in filter(None, map(engine.find_warning, encoded)):
            warn(warning)
    shares: Sequence[Array32 | None] = [None] * len(moving)
    if len(source.faces) > 1:
        shares = face_shares(source.faces, driven, source.size)
    return [EncodedFace(*one) for one in zip(moving, encoded, shares, strict=True)]


def _encode_face(
    engine: Engine, source: SourceImage, face: Face, pictures: Sequence[SourceImage]
) -> Any:
    others = [(picture.image, picture.faces[0]) for picture in pictures]
    if isinstance(engine, GroupEngine):
        return engine.encode_among(source.image, face, source.beside(face), others)
    if not others:
        return engine.encode_source(source.image, face)
    if isinstance(engine, PicturesEngine):
        return engine.encode_pictures(source.image, face, others)
    return encode_crops(engine, source.image, face, others)
