"""Glasses that a face wears are taken off before it gets new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from thcli.core.errors import UsageError
from thcli.core.events import Event, Listener, Warned, silent
from thcli.core.options import EditOptions, RunOptions, Template
from thcli.core.types import Array32, Crop, Face, Image, Painted
from thcli.editors.edit_file import EditFile, save
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions
from thcli.pipeline.editing.edit_log import FeatureLog
from thcli.pipeline.editing.factory import plan_steps
from thcli.pipeline.editing.painter_step import PainterStep
from thcli.pipeline.editing.request import parse_request
from thcli.pipeline.editing.steps import FaceFeatures, FaceView
from thcli.pipeline.editing.worn_glasses import WornGlassesStep

PLACEMENT = Crop(np.eye(3), (64, 64))


def view(worn: float, grey: int = 100) -> FaceView:
    """Return a face, `worn` of which is below glasses."""
    planes = np.zeros((len(CLASSES), 64, 64), np.float32)
    planes[class_number("skin")] = 1 - worn
    planes[class_number("eye_g")] = worn
    pixels = np.full((64, 64, 3), grey, np.uint8)
    return FaceView(
        pixels, PLACEMENT, Face(np.zeros(4, np.float32), 1), Regions(PLACEMENT, planes), 0.0
    )


def names(*attributes: str, engine: str = "auto", licence: Literal["any", "free"] = "any") -> str:
    options = EditOptions(
        attr=list(attributes), engine=engine, run=RunOptions(licence=licence, threads=1)
    )
    return " ".join(step.name for step in plan_steps(parse_request(options), options, silent))


@pytest.mark.parametrize(
    "attributes, planned",
    [
        (("eyeglasses",), "removers drawn"),
        (("sunglasses", "smiling"), "removers atlas drawn"),
        (("eyeglasses", "beard=-1"), "removers drawn"),
        (("beard",), "drawn"),
        (("eyeglasses=-1",), "removers"),
    ],
)
def test_removers_run_first(attributes: tuple[str, ...], planned: str) -> None:
    assert names(*attributes) == planned


def test_a_named_engine_and_a_free_licence_draw_over_them() -> None:
    assert names("eyeglasses", engine="drawn") == "drawn"
    assert names("eyeglasses", licence="free") == "drawn"


def test_the_engine_of_an_edit_file_decides(tmp_path: Path) -> None:
    saved = tmp_path / "a.edit.safetensors"
    for engine, planned in {"drawn": ["drawn"], "auto": ["removers", "drawn"]}.items():
        save(saved, EditFile({"eyeglasses": 1.0}, engine), overwrite=True)
        options = EditOptions(edit=saved, run=RunOptions(threads=1))
        request = parse_request(options)
        assert request.engine == engine
        assert [step.name for step in plan_steps(request, options, silent)] == planned


class FakeRemover:
    """A painter whose preparation is what it was asked for; it refuses dark faces."""

    crop_size = 64
    template: Template = "square"
    averaged_only = True
    attributes: Sequence[str] = ("eyeglasses", "beard")

    def measure_appearance(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32
    ) -> Array32:
        return np.array([[crop.mean()] for crop in crops], np.float32)

    def prepare(self, appearance: Array32, strengths: Mapping[str, float]) -> dict[str, float]:
        assert appearance.shape == (1,)
        if "eyeglasses" in strengths and appearance[0] < 10:
            raise UsageError("These glasses are dark.")
        return dict(strengths)

    def paint(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32, prepared: object
    ) -> list[Painted]:
        return [Painted(np.full_like(crop, 255)) for crop in crops]


def decide(
    views: Sequence[FaceView],
    others: Mapping[str, float],
    strength: float = 1.0,
    on: Listener = silent,
) -> dict[str, float] | None:
    """Return what is removed from a clip."""
    painter = PainterStep("removers", FakeRemover(), lambda _: others, "face", False, 1)
    step = WornGlassesStep(painter, strength, on, others=bool(others))
    mean = step.extract_features(views).averaged.mean(0)
    decided: dict[str, float] | None = step.finalize(mean, views[0], np.zeros(0, np.float32))
    for one in views:
        ((before, after, _),) = step.render([one], np.zeros((1, 0), np.float32), mean, decided)
        assert np.array_equal(before, after) is (decided is None)
    return decided


def test_only_worn_glasses_are_removed() -> None:
    assert decide([view(0.0)] * 3, {}) is None
    assert decide([view(0.0)], {"beard": -1.0}) == {"beard": -1.0}
    assert decide([view(0.2)], {"beard": -1.0}) == {"beard": -1.0, "eyeglasses": -1.0}
    assert decide([view(0.2)], {}, 0.5) == {"eyeglasses": -0.5}


def test_all_frames_decide() -> None:
    """The first frame is hidden by a hand, or is the only one with an error of the parser."""
    assert decide([view(0.0)] + [view(0.1)] * 3, {}) == {"eyeglasses": -1.0}
    assert decide([view(0.1)] + [view(0.0)] * 15, {}) is None


def test_bare_faces_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once alone, for the number of columns; frames that show a bare face leave the mean."""
    seen: list[int] = []
    own = FakeRemover.measure_appearance

    def counted(
        self: FakeRemover, crops: Sequence[Image], faces: Sequence[Face], regions: Array32
    ) -> Array32:
        seen.append(len(crops))
        return own(self, crops, faces, regions)

    monkeypatch.setattr(FakeRemover, "measure_appearance", counted)
    assert decide([view(0.0)] * 9, {}) is None
    assert len(seen) == 1
    assert decide([view(0.0)] * 2 + [view(0.3)], {}) == {"eyeglasses": -1.0}
    assert len(seen) == 2
    assert decide([view(0.0)] * 4, {"beard": -1.0}) == {"beard": -1.0}
    assert len(seen) == 6
    heard: list[Event] = []
    assert decide([view(0.0, grey=250), view(0.3, grey=0)], {}, on=heard.append) is None
    assert heard  # the dark glasses alone count


def test_glasses_outside_of_the_crop_do_not_count() -> None:
    """The parser sees more of the frame than the painter: here a neighbour's glasses."""
    own = view(0.0)
    planes = np.zeros((len(CLASSES), 64, 192), np.float32)
    planes[class_number("skin"), :, :64] = planes[class_number("eye_g"), :, 128:] = 1
    seen = replace(own, regions=Regions(Crop(np.eye(3), (192, 64)), planes))
    assert decide([seen], {}) is None


def test_dark_glasses_stay_below_the_new_ones() -> None:
    heard: list[Event] = []
    dark = view(0.3, grey=0)
    assert decide([dark], {}, on=heard.append) is None
    assert heard == [Warned("These glasses are dark. The new ones are drawn over them.")]
    assert decide([dark], {"beard": -1.0}) == {"beard": -1.0}


def test_a_frame_that_is_not_measured_leaves_the_mean() -> None:
    nothing = np.zeros((1, 0), np.float32)
    with FeatureLog() as log:
        log.repeat()
        for value in (1, 4):
            log.add(FaceFeatures(np.full((1, 1), value, np.float32), nothing, nothing))
        log.repeat()
        assert log.mean.tolist() == [2.5]
        np.testing.assert_array_equal(log.rows(0, 4).shared.ravel(), [np.nan, 1, 4, 4])
