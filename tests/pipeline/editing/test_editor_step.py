"""Tests of the step of an editor: an edit that moves landmarks, and what other files replace."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from thcli.core.types import Array32, Image
from thcli.pipeline.editing.identity_edits import KeptIdentity
from thcli.pipeline.editing.recombination import OtherFace, Recombination
from thcli.pipeline.editing.steps import EditedIdentity, EditorStep


def row(values: Sequence[float]) -> Array32:
    return np.array(values, np.float32)


class MovingEditor:
    """An editor of 4 x 4 crops that logs its calls: the first level and the numbers they got."""

    crop_size = 4
    template = "ffhq"

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []

    def move(
        self, crops: Sequence[Image], landmarks: Array32, target: Array32
    ) -> tuple[list[Image], Array32]:
        self.log.append(("move", float(landmarks[0, 0]), float(target[0, 0])))
        return [crop + 1 for crop in crops], target

    def invert(self, crops: Sequence[Image], identity: Array32, landmarks: Array32) -> Array32:
        self.log.append(
            ("invert", int(crops[0][0, 0, 0]), float(identity[0]), float(landmarks[0, 0]))
        )
        return np.stack(crops).astype(np.float32)

    def decode(self, latents: Array32, identity: Array32, landmarks: Array32) -> list[Image]:
        self.log.append(("decode", float(identity[0]), float(landmarks[0, 0])))
        return list(latents.astype(np.uint8))


def render(edited: EditedIdentity, recombination: Recombination) -> list[tuple[Any, ...]]:
    editor: Any = MovingEditor()
    step = EditorStep("x", editor, KeptIdentity(), "all", recombination=recombination)
    view: Any = SimpleNamespace(image=np.full((4, 4, 3), 10, np.uint8), seconds=0.0, monochrome=0.0)
    step.render([view], row([5])[None], row([1]), edited)
    return list(editor.log)


BEFORE = [("invert", 10, 1, 5), ("decode", 1, 5)]


@pytest.mark.parametrize(
    ("shift", "after"),
    [
        (None, [("decode", 3, 5)]),
        (row([2]), [("move", 5, 7), ("invert", 11, 1, 7), ("decode", 3, 7)]),
    ],
)
def test_an_edit_that_moves_landmarks_moves_the_crop(
    shift: Array32 | None, after: list[tuple[Any, ...]]
) -> None:
    assert render(EditedIdentity(row([3]), shift), Recombination()) == BEFORE + after


def test_another_background_is_moved_to_the_landmarks_of_the_clip() -> None:
    with OtherFace(4, keeps_crops=True) as other:
        other.add(0, np.full((4, 4, 3), 80, np.uint8), row([9]), row([6]))
        log = render(EditedIdentity(row([3])), Recombination(background=other))
    assert log == [("move", 6, 5), ("invert", 81, 9, 5), ("decode", 3, 5)]
