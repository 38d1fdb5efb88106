"""Where crops lie: the path over gaps and cuts, the templates, the file; and side files that are whole or not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.errors import OutputError
from thcli.core.options import SteadyOptions, TemplateOptions
from thcli.core.types import Crop, Face
from thcli.faces.crops.crop import corners
from thcli.faces.crops.stabilize import crop_of, params_of
from thcli.faces.tracking.head_motion import Similarity
from thcli.media.atomic_file import Lines, SideFile
from thcli.motion.canonical import neutral
from thcli.pipeline.observe.crop_track import TEMPLATES, CropPath, place_of

SIZE = (64, 64)


def place(x: float, angle: float = 0.0) -> Crop:
    return crop_of([x, 50.0, np.log(80.0), angle], SIZE)


def raw(path: CropPath) -> Iterator[float]:
    """The x of each frame's place, hardly calmed."""
    for params in path.calm(SteadyOptions(fast=1e-4, slow=1e-4)):
        yield from params[:, 0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=40),
    st.integers(0, 39),
)
def test_the_path_keeps_what_was_seen_and_stays_between(
    frames: list[tuple[bool, int]], sure: int
) -> None:
    seen = [there or i == sure % len(frames) for i, (there, _) in enumerate(frames)]
    rendered_frames = np.cumsum([step == 0 for _, step in frames])
    xs = np.arange(len(frames)) * 7.0
    with CropPath() as path:
        for i, there in enumerate(seen):
            path.add(place(xs[i]) if there else None, i / 25, int(rendered_frames[i]))
        path.finish()
        found = np.array(list(raw(path)))
    assert np.allclose(found[seen], xs[seen], atol=1e-6)
    known = np.flatnonzero(seen)
    for i in np.flatnonzero(~np.array(seen)).tolist():
        before, after = known[known < i], known[known > i]
        expected: float
        if not len(before) or not len(after):
            expected = float(xs[after[0]] if len(after) else xs[before[-1]])
        elif rendered_frames[before[-1]] == rendered_frames[after[0]]:
            expected = float(xs[i])  # evenly from one to the other, as xs goes
        else:
            expected = float(
                xs[after[0]] if rendered_frames[i] == rendered_frames[after[0]] else xs[before[-1]]
            )
        assert found[i] == pytest.approx(expected, abs=1e-6)


def test_angles_go_on_over_a_half_turn() -> None:
    angles = np.deg2rad([170, 175, 180, 185, 190])
    with CropPath() as path:
        for i, angle in enumerate(angles):
            path.add(place(10.0, float(angle)), i / 25, 0)
        path.finish()
        (params,) = path.calm(SteadyOptions())
    assert np.ptp(params[:, 3]) < np.deg2rad(21)


@pytest.mark.parametrize("upright", [True, False])
def test_pixels_carry_a_crop_that_landmarks_shake(upright: bool) -> None:
    """A head that walks and tilts; its landmarks say so with half a pixel of error, its pixels with none."""
    rng, frames = np.random.default_rng(4), 120
    x, tilt = 100 + 15 * np.sin(np.arange(frames) / 9), 0.2 * np.sin(np.arange(frames) / 8)
    with CropPath(upright) as path:
        for i in range(frames):
            turn = np.exp(1j * (tilt[i] - tilt[i - 1])) if i else 1.0
            step = Similarity(turn, x[i] + 50j - turn * (x[i - 1] + 50j)) if i else None
            where = place(
                x[i] + rng.normal(0, 0.5), 0.0 if upright else tilt[i] + rng.normal(0, 0.01)
            )
            path.add(where, i / 25, 0, step, (0.0, 0.0))
        path.finish()
        raw, landmarks, calm = (
            np.concatenate(list(way))
            for way in (
                path.raw(),
                path.calm(SteadyOptions(pixels=False)),
                path.calm(SteadyOptions()),
            )
        )
    true = np.stack([x, 0 * x if upright else tilt], 1)
    off = [(way[:, [0, 3]] - true).std(0) for way in (raw, landmarks, calm)]
    assert off[2][0] < 0.12 and off[2][0] < off[1][0] / 2 and off[1][0] < off[0][0] * 1.5
    assert (off[2][1] == 0 and np.ptp(calm[:, 3]) == 0) if upright else off[2][1] < 0.003


def head(opening: float = 0.0) -> Face:
    """The neutral head, 100 pixels between the outer eye corners, its jaw lowered by so many pixels."""
    mesh = neutral() * 100 + [300.0, 200.0, 0.0]
    mesh[mesh[:, 1] > 260, 1] += opening
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    return Face(np.concatenate([low, high]).astype(np.float32), 1.0, mesh=mesh.astype(np.float32))


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_scale_widens_every_template_around_its_middle(template: str) -> None:
    own = place_of(head(), TemplateOptions(template, 64))  # type: ignore[arg-type]  # a name from the table
    ratio = {"square": 2.0, "liveportrait": 2.3}.get(template, 1.0)
    wide = place_of(head(), TemplateOptions(template, 64, scale=1.5 * ratio))  # type: ignore[arg-type]  # the same
    sides = [np.exp(params_of([where])[0, 2]) for where in (own, wide)]
    assert sides[1] == pytest.approx(1.5 * sides[0], rel=1e-6)
    if template != "liveportrait":  # which goes up by a part of its side
        assert np.allclose(corners(own).mean(0), corners(wide).mean(0), atol=1e-6)


def test_the_square_does_not_breathe_with_the_mouth() -> None:
    options = TemplateOptions()
    closed, opened = (
        np.exp(params_of([place_of(head(jaw), options)])[0, 2]) for jaw in (0.0, 40.0)
    )
    assert opened == pytest.approx(closed, rel=0.02)


def test_a_side_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    with pytest.raises(KeyError), SideFile(path, False) as file:
        file.partial.write_bytes(b"half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with SideFile(path, False) as file:
        file.partial.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    with pytest.raises(OutputError, match="exists already"):
        SideFile(path, False)
    with pytest.raises(OutputError, match="is a folder"):
        SideFile(tmp_path, True)


def test_lines_of_an_interrupted_run_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Lines(tmp_path / "x.jsonl", False) as lines:
        lines.write({"a": 1})
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
