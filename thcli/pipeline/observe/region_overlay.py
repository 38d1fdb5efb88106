"""Images of face regions for `thcli parse`: label maps, soft masks and overlays."""

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
from thcli.faces.parsing.crops import BACKGROUND, Regions, full_frame_crop
from thcli.media.failures import to_output_error
from thcli.media.writing.target import OutputTarget

OutputKind = Literal["labels", "mask", "overlay"]
ALL_CLASSES = frozenset(range(len(CLASSES)))


@dataclass(frozen=True, slots=True)
class RegionRenderer:
    """A renderer of parsed regions.

    kind: labels, mask or overlay.
    classes: numbers of the regions that are rendered.
    opacity: of an overlay, 0..1.
    """

    kind: OutputKind
    classes: frozenset[int]
    opacity: float

    def render(self, image: Image, faces: Sequence[Regions]) -> Image:
        """Render the regions of one frame.

        Args:
            image: (H, W, 3) uint8.
            faces: regions of each face in it.

        Returns:
            (H, W) uint8 for labels and masks, (H, W, 3) uint8 for overlays.
        """
        if self.kind == "labels":
            return self._labels(image, faces)
        return self._mask(image, faces) if self.kind == "mask" else self._overlay(image, faces)

    def _labels(self, image: Image, faces: Sequence[Regions]) -> Image:
        frame = full_frame_crop((image.shape[1], image.shape[0]))
        labels = np.zeros(image.shape[:2], np.uint8)
        best = np.zeros(image.shape[:2], np.float32)
        for regions in faces:  # the higher foreground probability wins where faces overlap
            face_labels, foreground = regions.labels_and_foreground_in(frame)
            better = foreground > best
            labels[better], best[better] = face_labels[better], foreground[better]
        labels[~np.isin(labels, sorted(self.classes))] = BACKGROUND
        return labels

    def _mask(self, image: Image, faces: Sequence[Regions]) -> Image:
        frame = full_frame_crop((image.shape[1], image.shape[0]))
        inverted = BACKGROUND in self.classes  # background is what no face covers
        classes = ALL_CLASSES - self.classes if inverted else self.classes
        mask = np.zeros(image.shape[:2], np.float32)
        for regions in faces:
            np.maximum(mask, regions.mask_in(frame, classes), out=mask)
        return np.asarray(np.rint((1 - mask if inverted else mask) * 255), np.uint8)

    def _overlay(self, image: Image, faces: Sequence[Regions]) -> Image:
        frame = full_frame_crop((image.shape[1], image.shape[0]))
        out = image.copy()
        classes = sorted(self.classes - {BACKGROUND})
        for regions in faces:
            colours = _colour_layer(regions.probabilities[classes], classes)
            resampled = regions.layer_in(frame, colours * np.float32(self.opacity))
            if resampled is None:
                continue
            layer, (x, y) = resampled
            part = out[y : y + layer.shape[0], x : x + layer.shape[1]]
            blended = part * (1 - layer[..., 3:]) + layer[..., :3] * np.float32(255)
            part[:] = np.rint(np.clip(blended, 0, 255))
        return out


def _colour_layer(planes: Array32, classes: Sequence[int]) -> Array32:
    """Return the expected colour of each pixel with its alpha, premultiplied.

    Args:
        planes: (C, h, w) probabilities.
        classes: numbers of the C regions.

    Returns:
        (h, w, 4) float32 in 0..1.
    """
    palette = PALETTE[list(classes)] / 255
    colours = np.concatenate([palette, np.ones((len(classes), 1))], 1).astype(np.float32)
    return np.ascontiguousarray(np.tensordot(planes, colours, (0, 0)), np.float32)


class RegionShares:
    """Share of each region in the faces of a clip."""

    def __init__(self) -> None:
        self._areas = np.zeros(len(CLASSES))

    def add(self, faces: Iterable[Regions]) -> None:
        """Add the faces of one frame; every face has the same weight."""
        for regions in faces:
            areas = regions.probabilities.sum((1, 2), dtype=np.float64)
            self._areas += areas / max(float(areas[1:].sum()), 1e-9)

    def report(self) -> dict[str, float]:
        """Return region -> share of all that is not background, 0..1."""
        total = max(float(self._areas[1:].sum()), 1e-9)
        return {
            name: round(float(area) / total, 4)
            for name, area in zip(CLASSES[1:], self._areas[1:], strict=True)
        }


class RegionImageWriter:
    """Writer of a PNG or a folder of PNGs, complete or not at all. A context manager.

    Labels are palette images with the numbers of CLASSES, masks are grey, overlays are RGB.
    """

    def __init__(self, target: str | Path, kind: OutputKind, overwrite: bool, comment: str) -> None:
        """Check the target.

        Args:
            target: PNG or folder.
            kind: of the images.
            overwrite: the target may exist.
            comment: written to the images.

        Raises:
            UsageError: an image that is not a PNG.
            OutputError: the target exists.
        """
        self.done = 0  # frames of an interrupted run: it cannot be resumed
        self._kind = kind
        self._target = OutputTarget(target, overwrite)
        self._comment = comment
        self._names: set[str] = set()
        if self._target.kind == "image" and self._target.path.suffix.lower() != ".png":
            raise UsageError(
                f"{target} is not a PNG: lossy formats would change the labels.",
                "Give NAME.png, or a folder.",
            )
        self._target.check(0)

    def __enter__(self) -> Self:
        self._target.guard()
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
        """Write one image.

        Args:
            pixels: (H, W) or (H, W, 3) uint8.
            name: of the file in a folder, without its suffix.

        Raises:
            UsageError: a second image for a single file.
            OutputError: it cannot be written.
        """
        path = self._target.partial
        if self._target.kind == "folder":
            name = name if name not in self._names else f"{name}-{len(self._names)}"
            path = path / f"{name}.png"
        elif self._names:
            raise UsageError(
                f"{self._target.path} holds one image, and there are more.",
                "Give the name of a folder.",
            )
        self._names.add(name)
        metadata = PngInfo()
        metadata.add_itxt("Comment", self._comment)
        image = Pillow.fromarray(pixels)
        if self._kind == "labels":
            image.putpalette(PALETTE.tobytes())  # converts a grey image to a palette image
        try:
            path.parent.mkdir(exist_ok=True)
            with path.open("wb") as file:
                image.save(file, "PNG", pnginfo=metadata, compress_level=2)
        except OSError as exc:
            raise to_output_error(self._target.path, exc) from exc


def is_image_output(target: str | Path) -> bool:
    """Return True when an output is an image or a folder of images, False for a video.

    Raises UsageError for an unknown suffix.
    """
    return OutputTarget(target, True).kind in ("image", "folder")
