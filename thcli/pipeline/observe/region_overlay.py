"""What `thcli parse` draws of a frame's regions: numbers, a soft mask, or colours over the picture; and where pictures of them go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from thcli.core.errors import UsageError
from thcli.core.types import Array32, Image
from thcli.faces.parsing import CLASSES, PALETTE
from thcli.faces.parsing.crops import BACKGROUND, Regions, whole
from thcli.media.failures import unwritable
from thcli.media.writing.target import Target

Kind = Literal["labels", "mask", "overlay"]
ALL = frozenset(range(len(CLASSES)))


@dataclass(frozen=True, slots=True)
class Artist:
    """Draws frames. groups: the regions that count.  opacity: of an overlay's colours."""

    kind: Kind
    groups: frozenset[int]
    opacity: float

    def draw(self, picture: Image, found: Sequence[Regions]) -> Image:
        """labels and mask: (H, W) uint8; overlay: (H, W, 3) uint8. picture: (H, W, 3).  found: of each face in it, in its pixels."""
        if self.kind == "labels":
            return self._labels(picture, found)
        return self._mask(picture, found) if self.kind == "mask" else self._overlay(picture, found)

    def _labels(self, picture: Image, found: Sequence[Regions]) -> Image:
        frame = whole((picture.shape[1], picture.shape[0]))
        out, most = np.zeros(picture.shape[:2], np.uint8), np.zeros(picture.shape[:2], np.float32)
        for regions in found:  # where two faces claim a pixel, the surer one has it
            labels, person = regions.decided_in(frame)
            surer = person > most
            out[surer], most[surer] = labels[surer], person[surer]
        out[~np.isin(out, sorted(self.groups))] = BACKGROUND
        return out

    def _mask(self, picture: Image, found: Sequence[Regions]) -> Image:
        frame = whole((picture.shape[1], picture.shape[0]))
        behind = BACKGROUND in self.groups  # then the rest of all faces is cut out of it
        groups = ALL - self.groups if behind else self.groups
        most = np.zeros(picture.shape[:2], np.float32)
        for regions in found:
            np.maximum(most, regions.mask_in(frame, groups), out=most)
        return np.asarray(np.rint((1 - most if behind else most) * 255), np.uint8)

    def _overlay(self, picture: Image, found: Sequence[Regions]) -> Image:
        frame = whole((picture.shape[1], picture.shape[0]))
        out = picture.copy()
        chosen = sorted(self.groups - {BACKGROUND})
        for regions in found:
            layer = _coloured(regions.probabilities[chosen], chosen) * np.float32(self.opacity)
            there = regions.layer_in(frame, layer)
            if there is None:
                continue
            paint, (x, y) = there
            part = out[y : y + paint.shape[0], x : x + paint.shape[1]]
            mixed = part * (1 - paint[..., 3:]) + paint[..., :3] * np.float32(255)
            part[:] = np.rint(np.clip(mixed, 0, 255))
        return out


def _coloured(planes: Array32, chosen: Sequence[int]) -> Array32:
    """(h, w, 4): the regions' colours times how probable they are, 0..1, and how probable any of them is."""
    colours = np.concatenate([PALETTE[list(chosen)] / 255, np.ones((len(chosen), 1))], 1).astype(
        np.float32
    )
    return np.ascontiguousarray(np.tensordot(planes, colours, (0, 0)), np.float32)


class Shares:
    """How much of the faces each region takes, over a clip."""

    def __init__(self) -> None:
        self._areas = np.zeros(len(CLASSES))

    def add(self, found: Iterable[Regions]) -> None:
        """The faces of one more frame, each counting alike."""
        for regions in found:
            areas = regions.probabilities.sum((1, 2), dtype=np.float64)
            self._areas += areas / max(float(areas[1:].sum()), 1e-9)

    def report(self) -> dict[str, float]:
        """Region -> its share of all that is not background, 0..1."""
        total = max(float(self._areas[1:].sum()), 1e-9)
        return {
            name: round(float(area) / total, 4)
            for name, area in zip(CLASSES[1:], self._areas[1:], strict=True)
        }


class Pictures:
    """A PNG, or a folder of them, that appears whole or not at all. A context manager.

    Labels become palette pictures whose numbers are those of CLASSES, masks grey ones, overlays RGB.
    """

    def __init__(self, target: str | Path, kind: Kind, overwrite: bool, comment: str) -> None:
        self.done = 0  # frames of an earlier run: it is never resumed
        self._kind = kind
        self._target = Target(target, overwrite)
        self._comment = comment
        self._names: set[str] = set()
        if self._target.kind == "image" and self._target.path.suffix.lower() != ".png":
            raise UsageError(
                f"{target} is no PNG, and other pictures would change the numbers.",
                "Give NAME.png, or a folder.",
            )
        self._target.check(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._target.commit()
        finally:
            self._target.abort()

    def write(self, pixels: Image, name: str) -> None:
        """One more picture. name: of its file in a folder, without its ending.  Raises OutputError, UsageError for a second one in a file."""
        place = self._target.partial
        if self._target.kind == "folder":
            name = name if name not in self._names else f"{name}-{len(self._names)}"
            place = place / f"{name}.png"
        elif self._names:
            raise UsageError(
                f"{self._target.path} holds one picture, and there are more.",
                "Give the output the name of a folder.",
            )
        self._names.add(name)
        words = PngInfo()
        words.add_itxt("Comment", self._comment)
        picture = Pillow.fromarray(pixels)
        if self._kind == "labels":
            picture.putpalette(
                PALETTE.tobytes()
            )  # a grey picture becomes one of numbers and colours
        try:
            place.parent.mkdir(exist_ok=True)
            with place.open("wb") as file:
                picture.save(file, "PNG", pnginfo=words, compress_level=2)
        except OSError as exc:
            raise unwritable(self._target.path, exc) from exc


def is_pictures(target: str | Path) -> bool:
    """Whether an output's name asks for pictures rather than a video. Raises UsageError for an ending that there is not."""
    return Target(target, True).kind in ("image", "folder")
