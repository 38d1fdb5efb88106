"""The masks that a clip's crops are pasted with: what is face, and what lies in front of it.

Pass 1 parses each frame's face, calms the regions, and unrolls its texture; a few KB a frame stay on disk. Once the person's usual face
is known from all of them, each frame's face is compared with it, and both sources are told apart at the picture's edges.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.errors import MediaError
from thcli.core.geometry import box_of, transform
from thcli.core.imaging import smoothstep, to_uint8
from thcli.core.protocols import Parser
from thcli.core.types import Array32, Crop, Face, Frame, Image
from thcli.faces.compositing.mask import hull_mask
from thcli.faces.compositing.occlusion import SIDE, Memory, Sheet, Unrolled, Usual, refined
from thcli.faces.crops.align import resized
from thcli.faces.crops.crop import Pixels, crop
from thcli.faces.parsing.classes import FACE, Group
from thcli.faces.parsing.crops import Regions, cut, parse
from thcli.faces.parsing.temporal_smoothing import Parsed, Smoother
from thcli.motion.canonical import neutral
from thcli.pipeline.job.temp_storage import Spool
from thcli.pipeline.observe.crop_track import CropPlacement

WORK = 192  # pixels across the crop in which masks are made
TRUST = 0.7  # how much a difference from the usual face says beside the parser
_DECIDED = 2.5  # times as steep as it was found is what is kept
_OPEN = 0.5  # of the feather: how far inside the face's edge the mask is fully open
_QUALITY = 92  # of the textures on disk, as JPEG
_OUTLINE = 0.01  # softness of the outline while it is made, as a part of the crop

Likely = tuple[Array32, Array32]
"""Of a frame: what is face by the parser, (WORK, WORK) of the crop, and what is before it by the usual face, (SIDE, SIDE); 0..1."""


@dataclass(frozen=True, slots=True)
class Masks:
    """region: (h, w) 0..1, what of the crop goes back, soft.  keep: (h, w) 0..1, what lies before it and stays the frame's."""

    region: Array32
    keep: Array32


class MaskLog(Spool):
    """What pass 1 saw of each frame, on disk. A context manager. Frames are added in order; then `finish`; then `likely`, once, in order.

    own: the regions that are not in front of the face.  trust: how much a difference from the usual face says beside the parser.
    calmed: is given the calmed regions of every frame, in order.
    """

    def __init__(
        self,
        parser: Parser,
        feather: float,
        own: Group = FACE,
        trust: float = TRUST,
        calmed: Callable[[Regions | None], None] | None = None,
    ) -> None:
        self._parser, self._feather, self._own, self._trust, self._calmed = (
            parser,
            feather,
            own,
            trust,
            calmed,
        )
        super().__init__("masks")
        self._sizes = array(
            "I"
        )  # three a frame: bytes of the parser's face (PNG), the texture (JPEG), the cells that show (bits)
        self._smoother, self._waiting = Smoother(), deque[tuple[Crop, Unrolled] | None]()
        self._sheet, self._memory = Sheet(neutral()), Memory()
        self._usual: Usual | None = None

    def add(self, frame: Frame, place: CropPlacement | None, parsed: Parsed | None = None) -> None:
        """The next frame; place None, or one without an outline, where nothing is pasted. Raises MediaError for crops of an older version.

        parsed: its regions, where the caller has them.
        """
        if place is None or place.outline is None:
            self._put(self._smoother.push(Parsed(None, None, -1)), None)
            return
        if place.mesh is None:
            raise MediaError(
                "The crops' file is of an older version and has no meshes, which --mask parse needs.",
                "Make the crops again (thcli crop VIDEO), or take --mask face.",
            )
        picture = to_uint8(frame.pixels)
        if parsed is None:
            own = cut(self._parser, picture, Face(box_of(place.mesh), 1.0, mesh=place.mesh))
            (found,) = parse(self._parser, [own])
            parsed = Parsed(found, own.pixels, place.scene)
        unrolled = self._sheet.unrolled(picture, place.mesh)
        self._memory.add(unrolled)
        self._put(self._smoother.push(parsed), (resized(place.where, WORK), unrolled))

    def finish(self) -> None:
        """Call once, after the last frame."""
        self._write(self._smoother.finish())
        self._usual = self._memory.usual()

    def likely(self) -> Iterator[Likely | None]:
        """For each frame, in order: face by the parser, (WORK, WORK) of the crop, and how much it differs from the usual face, (SIDE, SIDE)."""
        rows = self._rows()
        three: deque[Likely | None] = deque([None, next(rows, None)], maxlen=3)
        for _ in range(len(self._sizes) // 3):
            three.append(next(rows, None))
            before, now, after = three
            if now is None:
                yield None
                continue
            # What is there before and after is there in between; what moves fast is not taken from where it is.
            sides = [now[1] if side is None else side[1] for side in (before, after)]
            yield now[0], np.maximum(now[1], np.minimum(*sides))

    def masks(self, likely: Likely, picture: Pixels, place: CropPlacement) -> Masks:
        """The masks of a frame in the pixels of its crop. picture: the frame, (H, W, 3)."""
        assert place.mesh is not None and place.outline is not None
        small = resized(place.where, WORK)
        face, differs = likely
        outline = hull_mask(
            transform(small.crop_from_frame, place.mesh[:, :2].astype(np.float64)),
            small.size,
            _OUTLINE,
        )
        inside = np.maximum(face, np.asarray(outline > 0.5, np.float32))
        front = np.where(outline > 0.5, 1 - face, 0) + self._trust * self._sheet.rolled(
            differs, place.mesh, small
        )
        keep = refined(np.clip(front, 0, 1).astype(np.float32), crop(picture, small), inside)
        keep = np.clip(
            (keep - 0.5) * _DECIDED + 0.5, 0, 1
        )  # in front or not: half a hand is seen as a ghost
        return Masks(_grown(_ramped(inside, self._feather), place.where), _grown(keep, place.where))

    def _put(self, ready: list[Regions | None], new: tuple[Crop, Unrolled] | None) -> None:
        self._waiting.append(new)
        self._write(ready)

    def _write(self, ready: list[Regions | None]) -> None:
        for found in ready:
            seen = self._waiting.popleft()
            if self._calmed is not None:
                self._calmed(found)
            if found is None or seen is None:
                self._sizes.extend((0, 0, 0))
                continue
            where, unrolled = seen
            face = np.asarray(np.rint(255 * found.mask_in(where, self._own)), np.uint8)
            parts = [
                cv2.imencode(".png", face)[1].tobytes(),
                cv2.imencode(".jpg", unrolled.texture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[
                    1
                ].tobytes(),
                np.packbits(unrolled.shows).tobytes(),
            ]
            self._file.write(b"".join(parts))
            self._sizes.extend(len(part) for part in parts)

    def _rows(self) -> Iterator[Likely | None]:
        """Of each frame, from the disk: the parser's face, and what is before it by the usual look."""
        at = 0
        for first in range(0, len(self._sizes), 3):
            sizes = self._sizes[first : first + 3]
            if not any(sizes):
                yield None
                continue
            self._file.seek(at)
            face, texture, shows = (self._file.read(size) for size in sizes)
            at += sum(sizes)
            differs = np.zeros((SIDE, SIDE), np.float32)
            if self._usual is not None:
                flags = (
                    np.unpackbits(np.frombuffer(shows, np.uint8), count=SIDE * SIDE).reshape(
                        SIDE, SIDE
                    )
                    > 0
                )
                differs = self._usual.occluded(
                    Unrolled(np.asarray(_decoded(texture), np.uint8), flags)
                )
            yield np.asarray(_decoded(face), np.float32) / np.float32(255), differs


def _decoded(data: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)


def _ramped(inside: Array32, feather: float) -> Array32:
    """A mask that opens from the face's edge inwards."""
    depth = cv2.distanceTransform(
        (inside > 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    return np.asarray(smoothstep(0, max(_OPEN * feather * WORK, 1.0), depth), np.float32)


def _grown(mask: Array32, where: Crop) -> Array32:
    return np.asarray(cv2.resize(mask, where.size, interpolation=cv2.INTER_LINEAR), np.float32)
