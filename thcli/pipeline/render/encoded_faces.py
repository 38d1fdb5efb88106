"""Faces of a source image, encoded before pass 1, so that helpers start meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from thcli.core.protocols import Engine, GroupEngine, PicturesEngine, WarningEngine
from thcli.core.types import Array32, Face, Image
from thcli.pipeline.render.face_shares import face_shares
from thcli.pipeline.sources.framing import encode_crops
from thcli.pipeline.sources.source_image import SourceImage


@dataclass(frozen=True, slots=True)
class EncodedFace:
    """A face that moves, as an engine encodes it.

    face: of the image.
    source: identity and appearance.
    share: (H, W) blend weight over the faces before it; None for the only face of a picture, and
        for a person who is rendered alone.
    alone: the person is rendered alone, see `EncodedGroup`.
    """

    face: Face
    source: Any
    share: Array32 | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class EncodedFaces:
    """The faces of an image that move, in the order in which they are drawn.

    plate: (H, W, 3 or 4) uint8, over which persons are drawn who are rendered alone, see
        `EncodedGroup`; None where every face is rendered with the whole picture.
    """

    faces: Sequence[EncodedFace]
    plate: Image | None = None


def encode_faces(
    engine: Engine,
    source: SourceImage,
    driven: Sequence[bool],
    pictures: Sequence[SourceImage],
    warn: Callable[[str], None],
) -> EncodedFaces:
    """Encode the driven faces of an image.

    Args:
        engine: animates them.
        source: the image.
        driven: whether each of its faces has a driver.
        pictures: further pictures of the only face.
        warn: takes what a face does without.
    """
    encoded = _encode_group(engine, source, driven)
    if encoded is None:
        moving = [face for face, moves in zip(source.faces, driven, strict=True) if moves]
        faces = [EncodedFace(face, _encode_face(engine, source, face, pictures)) for face in moving]
        encoded = EncodedFaces(faces)
    if isinstance(engine, WarningEngine):
        for warning in filter(None, (engine.find_warning(face.source) for face in encoded.faces)):
            warn(warning)
    if len(source.faces) == 1 or all(one.alone for one in encoded.faces):
        return encoded
    moving = [one.face for one in encoded.faces]
    still = [face for face, moves in zip(source.faces, driven, strict=True) if not moves]
    drawn = [False] * len(still) + [True] * len(moving)
    shares = face_shares([*still, *moving], drawn, source.size)
    shared = [
        one if one.alone else replace(one, share=share)
        for one, share in zip(encoded.faces, shares, strict=True)
    ]
    return replace(encoded, faces=shared)


def _encode_group(
    engine: Engine, source: SourceImage, driven: Sequence[bool]
) -> EncodedFaces | None:
    """Encode persons who move beside each other as layers, where the engine does."""
    if sum(driven) < 2 or not isinstance(engine, GroupEngine):
        return None
    everyone = (*source.faces, *source.others)
    still = [False] * len(source.others)
    group = engine.encode_group(source.image, everyone, [*driven, *still])
    if group is None:
        return None
    faces = [
        EncodedFace(everyone[number], one, alone=number not in group.whole)
        for number, one in group.layers
    ]
    return EncodedFaces(faces, group.plate)


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
