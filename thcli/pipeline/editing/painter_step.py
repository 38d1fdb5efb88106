"""A painter as a step of an edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from thcli.core.options import EditRegion, TemplateOptions
from thcli.core.protocols import Painter
from thcli.core.stream import ordered_map
from thcli.core.types import Array32
from thcli.pipeline.editing.monochrome import DroppedColours, asks_for_colour, keep_monochrome
from thcli.pipeline.editing.steps import FaceFeatures, FaceView, Rendered, no_columns

T = TypeVar("T")
HAIR_CROP_SCALE = 1.5  # side of a painter's crop over its template's, when it changes hair


class _PaintedInParts(NamedTuple):
    """A painter's edit of monochrome footage that names colours.

    toned: prepared edit that takes the footage's tones, None for none.
    coloured: prepared edit of the attributes that name a colour.
    """

    toned: Any
    coloured: Any


@dataclass(frozen=True, slots=True)
class PainterStep:
    """A painter as a step.

    strengths: returns attribute -> strength for a face.
    wide: hair changes, which rarely fits into the crop of the template.
    workers: threads; crops do not depend on each other.
    notice: told the clip's mean appearance and the strengths, to warn of what they do not change.
    dropped: told the attributes that monochrome footage gets without their colours.
    """

    name: str
    painter: Painter
    strengths: Callable[[FaceView], Mapping[str, float]]
    affected_region: EditRegion
    wide: bool
    workers: int
    each_frame: bool = False
    whole_crop: bool = False
    notice: Callable[[Array32, Mapping[str, float]], None] | None = None
    dropped: DroppedColours | None = None

    @property
    def template(self) -> TemplateOptions:
        """See `EditStep`."""
        scale = HAIR_CROP_SCALE if self.wide else None
        return TemplateOptions(
            template=self.painter.template, size=self.painter.crop_size, scale=scale
        )

    def extract_features(self, views: Sequence[FaceView]) -> FaceFeatures:
        """Measure the appearance of skin, hair and light."""

        def measure(view: FaceView) -> Array32:
            return self.painter.measure_appearance([view.image], [view.face], view.planes()[None])

        appearance = np.concatenate(self._each(measure, views))
        nothing = no_columns(len(views))
        if self.painter.averaged_only:
            return FaceFeatures(nothing, nothing, appearance)
        return FaceFeatures(appearance, nothing, nothing)

    def finalize(self, mean: Array32, sample: FaceView, per_frame: Array32) -> Any:
        """Prepare the painter's edit of the clip. Raises UsageError when it cannot be done."""
        strengths = self.strengths(sample)
        if self.notice is not None:
            self.notice(mean, strengths)
        if not strengths:
            return None
        plain = {key: value for key, value in strengths.items() if not asks_for_colour(key)}
        if self.dropped is not None and sample.monochrome > 0:
            self.dropped(key for key, strength in plain.items() if strength > 0)
        if not sample.monochrome or len(plain) == len(strengths):
            return self.painter.prepare(mean, strengths)
        coloured = {key: value for key, value in strengths.items() if key not in plain}
        toned = self.painter.prepare(mean, plain) if plain else None
        return _PaintedInParts(toned, self.painter.prepare(mean, coloured))

    def render(
        self, views: Sequence[FaceView], per_frame: Array32, mean: Array32, parameters: Any
    ) -> list[Rendered]:
        """Paint the attributes on each crop; those that name a colour last, if it is monochrome."""
        if parameters is None:
            return [Rendered(view.image, view.image) for view in views]
        in_parts = isinstance(parameters, _PaintedInParts)
        parts = parameters if in_parts else _PaintedInParts(parameters, None)

        def paint(view: FaceView) -> Rendered:
            planes, after, beside = view.planes()[None], view.image, None
            if parts.toned is not None:
                (painted,) = self.painter.paint([after], [view.face], planes, parts.toned)
                after = keep_monochrome(view.image, view.image, painted.image, view.monochrome)
                beside = painted.beside
            if parts.coloured is not None:
                (painted,) = self.painter.paint([after], [view.face], planes, parts.coloured)
                after = painted.image
                if beside is None:
                    beside = painted.beside
                elif painted.beside is not None:
                    beside = np.maximum(beside, painted.beside)
            return Rendered(view.image, after, beside)

        return self._each(paint, views)

    def _each(self, function: Callable[[FaceView], T], views: Sequence[FaceView]) -> list[T]:
        """Return the result of each view."""
        return list(ordered_map(function, views, self.workers, self.workers + 1))
