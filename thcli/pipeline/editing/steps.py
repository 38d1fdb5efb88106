"""What changes faces, seen alike: an editor (a face taken apart and put together as somebody changed) or a painter (a crop painted on).

Each learns small numbers of every crop in pass 1, settles once for the clip, and in pass 2 gives each crop before and after: what is
carried to the frame is their difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from thcli.core.options import EditRegion, TemplateOptions
from thcli.core.protocols import Editor, Painter
from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.editors.edit_file import EditFile
from thcli.faces.parsing.crops import Regions

WIDER = 1.5  # of its template's side: the crop of a painter that changes hair
_TRACE = 1 / 512  # a probability below this is none
_LANES = 4  # planes that OpenCV moves together


@dataclass(frozen=True, slots=True)
class View:
    """One face as an engine sees it. crop: (S, S, 3).  where: its place in the frame.  face: in the crop's pixels.  regions: of the face."""

    crop: Image
    where: Crop
    face: Face
    regions: Regions

    def planes(self) -> Array32:
        """The regions' probabilities in the crop's pixels, (19, S, S), which sum to 1 but for a hundredth."""
        planes = self.regions.probabilities
        out = np.zeros((len(planes), *self.where.size[::-1]), np.float32)
        seen = [number for number in range(1, len(planes)) if float(planes[number].max()) > _TRACE]
        for start in range(0, len(seen), _LANES):
            some = seen[start : start + _LANES]
            found = self.regions.layer_in(
                self.where, np.asarray(cv2.merge([planes[number] for number in some]))
            )
            if found is not None:
                layer, (x, y) = found
                lanes = layer.reshape(*layer.shape[:2], len(some))
                out[some, y : y + layer.shape[0], x : x + layer.shape[1]] = np.moveaxis(lanes, 2, 0)
        out[0] = np.clip(1 - out[1:].sum(0), 0, 1)
        return out


@dataclass(frozen=True, slots=True)
class LearnedFeatures:
    """Of several crops. shared: (N, M), what is averaged over the clip.  own: (N, L), each frame's own."""

    shared: Array32
    own: Array32


class EditStep(Protocol):
    """One engine's part of an edit. touches: what it may change.  template: where its crops lie.

    learn: pass 1.  settle: between the passes; takes the clip's mean (M,) and a view of the face with its own numbers (L,), gives what
    `make` wants besides.  make: pass 2, each crop before and after, (S, S, 3).
    """

    @property
    def name(self) -> str: ...
    @property
    def touches(self) -> EditRegion: ...
    @property
    def template(self) -> TemplateOptions: ...
    def learn(self, views: Sequence[View]) -> LearnedFeatures: ...
    def finalize(self, mean: Array32, sample: View, own: Array32) -> Any: ...
    def make(
        self, views: Sequence[View], own: Array32, mean: Array32, finalized: Any
    ) -> list[tuple[Image, Image]]: ...


class Change(Protocol):
    """An identity (the clip's mean), a view of the face and its landmarks -> the edited identity. file: what was learnt for it, if anything."""

    @property
    def file(self) -> EditFile | None: ...
    def __call__(self, identity: Array32, view: View, own: Array32) -> Array32: ...


@dataclass(frozen=True, slots=True)
class Edited:
    """An editor's part: before is the crop made of what it was taken apart into, so that what gets lost on the way cancels."""

    name: str
    editor: Editor
    change: Change
    touches: EditRegion

    @property
    def template(self) -> TemplateOptions:
        return TemplateOptions(template=self.editor.template, size=self.editor.crop_size)

    def learn(self, views: Sequence[View]) -> LearnedFeatures:
        return LearnedFeatures(
            *self.editor.encode([v.crop for v in views], [v.face for v in views])
        )

    def finalize(self, mean: Array32, sample: View, own: Array32) -> Array32:
        return self.change(mean, sample, own)

    def make(
        self, views: Sequence[View], own: Array32, mean: Array32, finalized: Array32
    ) -> list[tuple[Image, Image]]:
        rest = self.editor.invert([view.crop for view in views], mean, own)
        before, after = (
            self.editor.decode(rest, mean, own),
            self.editor.decode(rest, finalized, own),
        )
        return list(zip(before, after, strict=True))


@dataclass(frozen=True, slots=True)
class Painted:
    """A painter's part. strengths: of a face, attribute -> strength.  wide: whether hair is changed, which is seldom all in the template's crop."""

    name: str
    painter: Painter
    strengths: Callable[[View], Mapping[str, float]]
    touches: EditRegion
    wide: bool

    @property
    def template(self) -> TemplateOptions:
        scale = WIDER if self.wide else None
        return TemplateOptions(
            template=self.painter.template, size=self.painter.crop_size, scale=scale
        )

    def learn(self, views: Sequence[View]) -> LearnedFeatures:
        crops, faces = [view.crop for view in views], [view.face for view in views]
        look = self.painter.look(crops, faces, np.stack([view.planes() for view in views]))
        return LearnedFeatures(look, np.zeros((len(views), 0), np.float32))

    def finalize(self, mean: Array32, sample: View, own: Array32) -> Mapping[str, float]:
        return self.strengths(sample)

    def make(
        self, views: Sequence[View], own: Array32, mean: Array32, finalized: Mapping[str, float]
    ) -> list[tuple[Image, Image]]:
        crops, faces = [view.crop for view in views], [view.face for view in views]
        planes = np.stack([view.planes() for view in views])
        after = self.painter.paint(crops, faces, planes, mean, finalized)
        return list(zip(crops, after, strict=True))


class Mean:
    """The mean of rows, the same in whatever batches they come."""

    def __init__(self) -> None:
        self._sum: Array | None = None
        self._count = 0

    def add(self, rows: Array32) -> None:
        """(N, M)."""
        for row in rows.astype(np.float64):
            self._sum = row if self._sum is None else self._sum + row
            self._count += 1

    def value(self) -> Array32 | None:
        """(M,), None of no rows."""
        return None if self._sum is None else np.asarray(self._sum / self._count, np.float32)
