"""Features and crops of a step, in batches in which each frame stands by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from thcli.core.batches import BatchRunner, require_finite
from thcli.core.types import Array32
from thcli.pipeline.editing.steps import EditStep, FaceFeatures, FaceView, Rendered


def extract_each(
    batches: BatchRunner, step: EditStep, views: Sequence[FaceView]
) -> list[FaceFeatures | None]:
    """Return the features of each view, None where they are not finite."""

    def extract(part: slice) -> list[FaceFeatures]:
        features = step.extract_features(views[part])
        rows = features.shared, features.per_frame, features.averaged
        require_finite(*rows)
        return [FaceFeatures(*(row[None] for row in item)) for item in zip(*rows, strict=True)]

    return batches.run_each(len(views), extract)


def render_each(
    batches: BatchRunner,
    step: EditStep,
    views: Sequence[FaceView],
    features: FaceFeatures,
    mean: Array32,
    parameters: Any,
) -> list[Rendered | None]:
    """Render crops before and after the edit of a clip, None where it failed.

    Args:
        batches: of the edit.
        step: of the edit.
        views: of the frames.
        features: of the views.
        mean, parameters: of the clip, see `EditStep.render`.
    """
    shared, per_frame = features.shared, features.per_frame

    def render(part: slice) -> list[Rendered]:
        require_finite(shared[part], per_frame[part])
        return list(step.render(views[part], per_frame[part], mean, parameters))

    return batches.run_each(len(views), render)


def render_alone(
    batches: BatchRunner,
    step: EditStep,
    views: Sequence[FaceView],
    features: FaceFeatures,
    unedited: Sequence[FaceView],
) -> list[Rendered | None]:
    """Render crops before and after an edit of each frame by its own appearance.

    None where it failed. Arguments as for `render_each`; unedited: views before any step.
    """
    shared, per_frame = features.shared, features.per_frame

    def render(part: slice) -> list[Rendered]:
        require_finite(shared[part], per_frame[part])
        out: list[Rendered] = []
        for view, before, whole, own in zip(
            views[part], unedited[part], shared[part], per_frame[part], strict=True
        ):
            if not step.each_frame:
                measured = step.extract_features([before])
                whole = np.concatenate([measured.shared[0], measured.averaged[0]])
                require_finite(whole)
            out += step.render([view], own[None], whole, step.finalize(whole, view, own))
        return out

    return batches.run_each(len(views), render)
