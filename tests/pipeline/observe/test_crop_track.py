"""Crop paths over gaps and cuts, and crop templates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.options import StabilizationOptions, TemplateOptions
from thcli.core.types import Crop, Face
from thcli.faces.crops.crop import corners
from thcli.faces.crops.stabilize import crop_from_params, crop_params
from thcli.faces.tracking.head_motion import Similarity
from thcli.motion.canonical import neutral
from thcli.pipeline.observe.crop_path import CropPath
from thcli.pipeline.observe.crop_templates import TEMPLATES, crop_placement

SIZE = (64, 64)


def placement(x: float, angle: float = 0.0) -> Crop:
    """Place a crop of side 80 px at (x, 50)."""
    return crop_from_params([x, 50.0, np.log(80.0), angle], SIZE)


def positions(path: CropPath) -> Iterator[float]:
    """Yield the x of each frame's crop, hardly smoothed."""
    for params in path.smooth(StabilizationOptions(fast=1e-4, slow=1e-4)):
        yield from params[:, 0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=40),
    st.integers(0, 39),
)
def test_gaps_are_interpolated_within_a_scene(frames: list[tuple[bool, int]], sure: int) -> None:
    seen = [there or i == sure % len(frames) for i, (there, _) in enumerate(frames)]
    scenes = np.cumsum([step == 0 for _, step in frames])
    xs = np.arange(len(frames)) * 7.0
    with CropPath() as path:
        for i, there in enumerate(seen):
            path.add(placement(xs[i]) if there else None, i / 25, int(scenes[i]))
        path.finish()
        found = np.array(list(positions(path)))
    assert np.allclose(found[seen], xs[seen], atol=1e-6)
    known = np.flatnonzero(seen)
    for i in np.flatnonzero(~np.array(seen)).tolist():
        before, after = known[known < i], known[known > i]
        expected: float
        if not len(before) or not len(after):
            expected = float(xs[after[0]] if len(after) else xs[before[-1]])
        elif scenes[before[-1]] == scenes[after[0]]:
            expected = float(xs[i])  # linear, as xs
        else:
            expected = float(xs[after[0]] if scenes[i] == scenes[after[0]] else xs[before[-1]])
        assert found[i] == pytest.approx(expected, abs=1e-6)


def test_angles_are_unwrapped() -> None:
    angles = np.deg2rad([170, 175, 180, 185, 190])
    with CropPath() as path:
        for i, angle in enumerate(angles):
            path.add(placement(10.0, float(angle)), i / 25, 0)
        path.finish()
        (params,) = path.smooth(StabilizationOptions())
    assert np.ptp(params[:, 3]) < np.deg2rad(21)


@pytest.mark.parametrize("upright", [True, False])
def test_head_motion_of_pixels_removes_the_jitter_of_landmarks(upright: bool) -> None:
    """Landmarks have 0.5 px of noise, the head motion has none."""
    rng, frames = np.random.default_rng(4), 120
    x, tilt = 100 + 15 * np.sin(np.arange(frames) / 9), 0.2 * np.sin(np.arange(frames) / 8)
    with CropPath(upright) as path:
        for i in range(frames):
            turn = np.exp(1j * (tilt[i] - tilt[i - 1])) if i else 1.0
            step = Similarity(turn, x[i] + 50j - turn * (x[i - 1] + 50j)) if i else None
            noisy = placement(
                x[i] + rng.normal(0, 0.5), 0.0 if upright else tilt[i] + rng.normal(0, 0.01)
            )
            path.add(noisy, i / 25, 0, step, (0.0, 0.0))
        path.finish()
        raw, landmarks, smoothed = (
            np.concatenate(list(windows))
            for windows in (
                path.raw(),
                path.smooth(StabilizationOptions(pixels=False)),
                path.smooth(StabilizationOptions()),
            )
        )
    true = np.stack([x, 0 * x if upright else tilt], 1)
    error = [(path[:, [0, 3]] - true).std(0) for path in (raw, landmarks, smoothed)]
    x_error = [float(of_axes[0]) for of_axes in error]
    assert x_error[2] < 0.12 and x_error[2] < x_error[1] / 2 and x_error[1] < x_error[0] * 1.5
    assert (np.ptp(smoothed[:, 3]) == 0) if upright else error[2][1] < 0.003


def head(opening: float = 0.0) -> Face:
    """Return the neutral head, 100 px between the eye corners, the jaw lowered by `opening`."""
    mesh = neutral() * 100 + [300.0, 200.0, 0.0]
    mesh[mesh[:, 1] > 260, 1] += opening
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    return Face(np.concatenate([low, high]).astype(np.float32), 1.0, mesh=mesh.astype(np.float32))


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_scale_widens_every_template_around_its_centre(template: str) -> None:
    own = crop_placement(head(), TemplateOptions(template, 64))  # type: ignore[arg-type]  # a name from the table
    ratio = {"square": 2.0, "liveportrait": 2.3}.get(template, 1.0)
    wide = crop_placement(head(), TemplateOptions(template, 64, scale=1.5 * ratio))  # type: ignore[arg-type]  # the same
    sides = [np.exp(crop_params([crop])[0, 2]) for crop in (own, wide)]
    assert sides[1] == pytest.approx(1.5 * sides[0], rel=1e-6)
    if template != "liveportrait":  # whose centre shifts with its side
        assert np.allclose(corners(own).mean(0), corners(wide).mean(0), atol=1e-6)


def test_the_side_of_the_square_does_not_follow_the_mouth() -> None:
    options = TemplateOptions()
    closed, opened = (
        np.exp(crop_params([crop_placement(head(jaw), options)])[0, 2]) for jaw in (0.0, 40.0)
    )
    assert opened == pytest.approx(closed, rel=0.02)
