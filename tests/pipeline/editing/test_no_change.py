"""Tests of the warnings that a clip has already what an edit would give it."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.core.events import Event, Warned
from thcli.core.options import EditOptions, RunOptions
from thcli.editors.atlas.appearance import APPEARANCE_SIZE
from thcli.editors.drawn import appearance as drawn
from thcli.pipeline.editing.factory import plan_steps
from thcli.pipeline.editing.painter_step import PainterStep
from thcli.pipeline.editing.request import parse_request


@pytest.mark.parametrize(("smile", "warned"), [(0.0, 1), (0.9, 0)])
def test_a_serious_face_is_said_to_stay_as_it_is(smile: float, warned: int) -> None:
    """One warning a clip, however many faces or strengths."""
    events: list[Event] = []
    options = EditOptions(attr=["smiling=-1"], run=RunOptions(threads=1))
    (step,) = plan_steps(parse_request(options), options, events.append)
    assert isinstance(step, PainterStep) and step.notice is not None
    seen = np.zeros(APPEARANCE_SIZE, np.float32)
    seen[-1] = smile
    for strengths in ({"smiling": -1.0}, {"smiling": -0.5, "old": 1.0}, {"smiling": 1.0}):
        step.notice(seen, strengths)
    assert [type(event) for event in events] == [Warned] * warned


@pytest.mark.parametrize(("hair", "warned"), [((150, 149, 148), 1), ((90, 60, 40), 0)])
def test_grey_hair_is_said_to_stay_as_it_is(hair: tuple[int, ...], warned: int) -> None:
    events: list[Event] = []
    options = EditOptions(attr=["gray_hair"], run=RunOptions(threads=1))
    (step,) = plan_steps(parse_request(options), options, events.append)
    assert isinstance(step, PainterStep) and step.notice is not None
    seen = np.zeros(drawn.APPEARANCE_SIZE, np.float32)
    seen[:6] = (200, 160, 140, *hair)
    for strengths in ({"gray_hair": 1.0}, {"gray_hair": 0.5}, {"black_hair": 1.0}):
        step.notice(seen, strengths)
    assert [type(event) for event in events] == [Warned] * warned
