"""Tests of edits of monochrome footage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pytest

from thcli.core.events import Event, Warned, silent
from thcli.core.options import EditOptions, RunOptions
from thcli.core.types import Array32, Crop, Face, Image, Painted
from thcli.faces.parsing.classes import CLASSES
from thcli.faces.parsing.crops import Regions
from thcli.pipeline.editing.factory import plan_steps
from thcli.pipeline.editing.identity_edits import KeptIdentity
from thcli.pipeline.editing.monochrome import DroppedColours, MonochromeMeter, keep_monochrome
from thcli.pipeline.editing.painter_step import PainterStep
from thcli.pipeline.editing.request import parse_request
from thcli.pipeline.editing.steps import EditedIdentity, EditorStep, FaceView

PLACEMENT = Crop(np.eye(3), (96, 96))
NOTHING = np.zeros((1, 0), np.float32)


def toned(red: float, blue: float) -> Image:
    """Return a picture whose colour depends on its brightness alone."""
    grey = np.random.default_rng(3).integers(20, 220, (96, 96)).astype(np.float32)
    return np.clip(np.stack([grey * red, grey, grey * blue], -1), 0, 255).astype(np.uint8)


def coloured(saturation: float, brightness: float) -> Image:
    """Return a picture of smooth colours: a tenth of its brightness, as faces have about half."""
    y, x = np.mgrid[0:96, 0:96] / 96.0
    grey = 60 + 100 * x
    hue = np.stack([np.sin(9 * y), -0.5 * np.sin(9 * y), np.cos(7 * y)], -1)
    levels = (grey[..., None] + saturation * 11 * hue) * brightness
    return np.asarray(np.rint(levels), np.uint8)


def share(*crops: Image) -> float:
    meter = MonochromeMeter()
    for crop in crops:
        meter.add(crop)
    return meter.share()


def spread(image: Image) -> int:
    return int(np.ptp(image.astype(int), axis=-1).max())


def view(image: Image, monochrome: float) -> FaceView:
    planes = np.zeros((len(CLASSES), 48, 48), np.float32)
    face, regions = Face(np.zeros(4, np.float32), 1), Regions(PLACEMENT, planes)
    return FaceView(image, PLACEMENT, face, regions, 0.0, monochrome)


@pytest.mark.parametrize(("red", "blue"), [(1.0, 1.0), (1.15, 0.75), (0.8, 1.2)])
def test_toned_and_compressed_pictures_are_monochrome(red: float, blue: float) -> None:
    grey = cv2.GaussianBlur(toned(1, 1)[..., 0], (0, 0), 4)
    picture = np.clip(grey[..., None] * [red, 1, blue], 0, 255).astype(np.uint8)
    _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 70])
    assert share(np.asarray(cv2.imdecode(code, 1), np.uint8)) == 1


@pytest.mark.parametrize(("saturation", "brightness"), [(1, 1), (0.5, 1), (1, 0.25), (0.7, 0.45)])
def test_pale_and_dark_colours_are_colours(saturation: float, brightness: float) -> None:
    assert share(coloured(saturation, brightness)) == 0


def test_the_clip_decides() -> None:
    assert share() == 0
    assert share(*[coloured(1, 1)] * 3, toned(1, 1)) == 0
    assert share(coloured(0.3, 1), *[toned(1, 1)] * 9) == 1


@pytest.mark.parametrize(("red", "blue"), [(1.0, 1.0), (1.1, 0.8)], ids=["grey", "sepia"])
def test_painted_colours_take_the_tones_of_the_picture(red: float, blue: float) -> None:
    before = toned(red, blue)
    after = before.copy()
    after[30:60, 30:60] = (90, 30, 40)
    found = keep_monochrome(before, before, after, 1.0)
    part = found[30:60, 30:60].astype(int)
    luma = part @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma - (90 * 0.299 + 30 * 0.587 + 40 * 0.114)).max() < 2
    assert np.abs(part[..., 0] - red * part[..., 1]).max() <= 4
    assert np.abs(part[..., 2] - blue * part[..., 1]).max() <= 4
    outside = np.ones((96, 96), bool)
    outside[30:60, 30:60] = False
    assert (found[outside] == before[outside]).all()


def test_a_picture_in_colour_is_painted_as_it_was() -> None:
    before = coloured(1, 1)
    after = before.copy()
    after[30:60, 30:60] = (200, 30, 40)
    assert keep_monochrome(before, before, after, 0.0) is after


class RedPainter:
    """A painter of red squares: strengths 1 paint a quarter of the crop each, from the left."""

    def prepare(self, appearance: Array32, strengths: Mapping[str, float]) -> list[str]:
        return list(strengths)

    def paint(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32, prepared: list[str]
    ) -> list[Painted]:
        out = crops[0].copy()
        for number, name in enumerate(("rosy_cheeks", "lipstick#e275a8", "red_hair", "gray_hair")):
            if name in prepared:
                out[:, 24 * number : 24 * number + 24] = (200, 40, 50)
        return [Painted(out)]


@pytest.mark.parametrize(
    "attributes", [("rosy_cheeks", "lipstick#e275a8", "red_hair"), ("gray_hair",)]
)
def test_named_colours_are_painted_beside_others(attributes: tuple[str, ...]) -> None:
    strengths = dict.fromkeys(attributes, 1.0)
    fake: Any = RedPainter()
    events: list[Event] = []
    dropped = DroppedColours(events.append)
    step = PainterStep("x", fake, lambda _: strengths, "all", False, 1, dropped=dropped)
    for monochrome, plain in ((1.0, True), (0.0, False)):
        seen = view(toned(1, 1), monochrome)
        parameters = step.finalize(NOTHING[0], seen, NOTHING[0])
        ((_, after, _),) = step.render([seen], NOTHING, NOTHING[0], parameters)
        assert (spread(after[:, :24]) < 3) == (plain or "rosy_cheeks" not in attributes)
        for number, name in ((1, "lipstick#e275a8"), (2, "red_hair")):
            part = after[:, 24 * number : 24 * number + 24]
            assert (spread(part) > 100) == (name in attributes)
        assert (spread(after[:, 72:]) > 100) == ("gray_hair" in attributes and not plain)
    warnings = [event.message for event in events if isinstance(event, Warned)]
    assert len(warnings) == ("rosy_cheeks" in attributes)
    assert all("not in colour: rosy_cheeks." in text for text in warnings)


class ReddeningEditor:
    """An editor whose reconstructions are a little red, and whose edits are more so."""

    template, crop_size = "ffhq", 96

    def invert(self, crops: Sequence[Image], identity: Array32, landmarks: Array32) -> Array32:
        return np.stack(crops).astype(np.float32)

    def decode(self, latents: Array32, identity: Array32, landmarks: Array32) -> list[Image]:
        red = latents * 0.8 + identity[0] * np.array([20, 2, 5], np.float32)
        return list(red.astype(np.uint8))


@pytest.mark.parametrize(("monochrome", "most"), [(1.0, 2), (0.0, 99)])
def test_an_editor_changes_grey_to_grey(monochrome: float, most: int) -> None:
    editor: Any = ReddeningEditor()
    step = EditorStep("x", editor, KeptIdentity(), "all")
    edited = EditedIdentity(np.array([2], np.float32))
    one = np.array([1], np.float32)
    seen = view(toned(1, 1), monochrome)
    ((before, after, _),) = step.render([seen], one[None], one, edited)
    change = after.astype(int) - before.astype(int)
    assert np.abs(change).min() > 1
    assert (np.ptp(change, axis=-1).max() <= most) and (monochrome or np.ptp(change) > 10)


@pytest.mark.parametrize(
    ("attribute", "wide"), [("lipstick", False), ("red_hair", True), ("pale=-1", True)]
)
def test_steps_warn_of_dropped_colours_and_a_tan_reaches_the_neck(
    attribute: str, wide: bool
) -> None:
    options = EditOptions(attr=[attribute], run=RunOptions(threads=1))
    (step,) = plan_steps(parse_request(options), options, silent)
    assert isinstance(step, PainterStep) and step.wide == wide and step.dropped is not None
