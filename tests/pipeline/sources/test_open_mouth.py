"""Warning of mouths that are too far open to be closed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from thcli.core.types import Face
from thcli.motion.canonical import mouth_opening, neutral
from thcli.motion.sliders import load_slider_shapes
from thcli.pipeline.sources.open_mouth import warn_of_open_mouths

FACE = Face(np.zeros(4, np.float32), 1.0)


@pytest.mark.parametrize(("jaw", "warns"), [(0.0, False), (0.5, False), (1.6, True)])
def test_a_wide_open_mouth_gives_a_warning(jaw: float, warns: bool) -> None:
    shape = neutral() + jaw * load_slider_shapes().jaw
    messages: list[str] = []
    job = cast("Any", SimpleNamespace(warn=messages.append))
    mesh = (100 * shape + 200).astype(np.float32)
    warn_of_open_mouths("face.jpg", [FACE, replace(FACE, mesh=mesh)], job)
    assert bool(messages) == warns == (mouth_opening(shape) > 0.47)
    assert all("face.jpg" in message for message in messages)
