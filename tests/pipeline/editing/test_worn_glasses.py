"""Glasses that a face wears are taken off before it gets new ones."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from thcli.core.events import silent
from thcli.core.options import EditOptions, RunOptions
from thcli.core.types import Crop, Face
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions
from thcli.pipeline.editing.factory import WornGlasses, plan_steps
from thcli.pipeline.editing.request import parse_request
from thcli.pipeline.editing.steps import FaceView

PLACEMENT = Crop(np.eye(3), (64, 64))


def view(worn: float) -> FaceView:
    """Return a face, `worn` of which is below glasses."""
    planes = np.zeros((len(CLASSES), 64, 64), np.float32)
    planes[class_number("skin")] = 1 - worn
    planes[class_number("eye_g")] = worn
    pixels = np.zeros((64, 64, 3), np.uint8)
    return FaceView(pixels, PLACEMENT, Face(np.zeros(4, np.float32), 1), Regions(PLACEMENT, planes))


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


def test_only_worn_glasses_are_removed() -> None:
    wanted = WornGlasses(lambda _: {"beard": -1.0})
    assert wanted(view(0.0)) == {"beard": -1.0}
    assert wanted(view(0.2)) == {"beard": -1.0, "eyeglasses": -1.0}
