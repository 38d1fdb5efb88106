"""Removal of the glasses that a face wears before it gets new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from thcli.core.errors import UsageError
from thcli.core.events import Listener, Warned
from thcli.core.options import EditRegion, TemplateOptions
from thcli.core.stream import ordered_map
from thcli.core.types import Array32
from thcli.faces.parsing.classes import FACE, GLASSES, group_probability
from thcli.pipeline.editing.painter_step import PainterStep
from thcli.pipeline.editing.steps import FaceFeatures, FaceView, Rendered

# Mean share of glasses in the face, over the parsed frames, of which a face wears some; bare faces
# have none.
_WORN = 0.01
_FEW = 0.002  # share of glasses in a frame below which it shows a bare face


class WornGlassesStep:
    """A painter that removes, as a step that also removes worn glasses.

    They are found by their mean share of the face in all parsed frames. A bare face stays as it is,
    and nothing else is measured on it.
    """

    each_frame = False
    whole_crop = False

    def __init__(
        self, painter: PainterStep, strength: float, on: Listener, *, others: bool
    ) -> None:
        """Extend the step of a painter that can remove glasses.

        Args:
            painter: the step.
            strength: share of the worn glasses that is removed, 0..1.
            on: listener for a warning.
            others: the painter removes other attributes too.
        """
        self._painter, self._strength, self._on = painter, strength, on
        self._others = others
        self._columns: int | None = None
        self._warned = False

    @property
    def name(self) -> str:
        """See `EditStep`."""
        return self._painter.name

    @property
    def affected_region(self) -> EditRegion:
        """See `EditStep`."""
        return self._painter.affected_region

    @property
    def template(self) -> TemplateOptions:
        """See `EditStep`."""
        return self._painter.template

    def extract_features(self, views: Sequence[FaceView]) -> FaceFeatures:
        """Measure the appearance, and as the last averaged numbers whether it was, and the share.

        Faces without glasses are not measured, unless something else is removed.
        """
        workers = self._painter.workers
        shares = list(ordered_map(_share, views, workers, workers + 1))
        measured = [i for i, share in enumerate(shares) if self._others or share > _FEW]
        if measured or self._columns is None:  # one is enough for the number of columns
            some = [views[i] for i in measured or (0,)]
            averaged = self._painter.extract_features(some).averaged
            self._columns = averaged.shape[1]
        rows = np.zeros((len(views), self._columns + 2), np.float32)
        if measured:
            rows[measured, :-2] = averaged
            rows[measured, -2] = 1
        rows[:, -1] = shares
        nothing = np.zeros((len(views), 0), np.float32)
        return FaceFeatures(nothing, nothing, rows)

    def finalize(self, mean: Array32, sample: FaceView, per_frame: Array32) -> Any:
        """Prepare the removal; None for a bare face of which nothing else is removed.

        Glasses that cannot be removed stay below the new ones, with a warning.
        """
        appearance, share = _appearance(mean), float(mean[-1])
        others = dict(self._painter.strengths(sample))
        if share > _WORN and self._strength:
            try:
                glasses = {"eyeglasses": -self._strength}
                return self._painter.painter.prepare(appearance, {**others, **glasses})
            except UsageError as error:
                if not self._warned:
                    self._on(Warned(f"{error} The new ones are drawn over them."))
                self._warned = True
        return self._painter.painter.prepare(appearance, others) if others else None

    def render(
        self, views: Sequence[FaceView], per_frame: Array32, mean: Array32, parameters: Any
    ) -> list[Rendered]:
        """See `EditStep`."""
        return self._painter.render(views, per_frame, _appearance(mean), parameters)


def _appearance(mean: Array32) -> Array32:
    """Return the painter's mean appearance over the measured frames."""
    return np.asarray(mean[:-2] / max(float(mean[-2]), 1e-9), np.float32)


def _share(view: FaceView) -> float:
    """Return glasses over face in the step's crop, where a neighbour's hardly count."""
    planes = view.planes()
    worn, bare = (float(group_probability(planes, group).sum()) for group in (GLASSES, FACE))
    return worn / max(bare + worn, 1.0)
