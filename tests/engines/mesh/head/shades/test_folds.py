"""Folds of a smile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.options import MeshOptions, ReenactOptions, RunOptions
from thcli.core.types import Array, Array32
from thcli.engines.mesh.background.windows import iterate_windows
from thcli.engines.mesh.engine import load
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.shades import folds
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.raster import SampleGrid
from thcli.motion import canonical
from thcli.motion.render_target import RenderTarget

SMILE_FOLDS = (205, 425)  # mesh points beside the mouth


def smiling(mesh: Array, amount: float) -> RenderTarget:
    posed = canonical.decompose(mesh)
    shape = posed.shape + amount * folds.load().smile
    return RenderTarget(
        np.asarray(replace(posed, shape=shape).mesh()), np.zeros((2, 2)), np.ones(2)
    )


def source(colour: tuple[int, int, int] = faces.SKIN, *, plain: bool = False) -> MeshSource:
    mesh = faces.centred_mesh(256, 256, 0.7)
    image = np.full((256, 256, 3), colour, np.uint8)
    image = image if plain else faces.add_relief(image)
    return prepare(image, faces.make_face(mesh), None, with_folds=True)


def change(source: MeshSource, target: RenderTarget) -> Array:
    """Return what the folds change in a frame, (H, W)."""
    plain = render_frame(replace(source, folds=None), target, None)
    return np.asarray((render_frame(source, target, None).astype(int) - plain).mean(-1))


@pytest.mark.parametrize("amount", [0.0, 1.0, -0.5])
def test_the_smile_of_a_mesh_is_measured_in_mean_smiles(amount: float) -> None:
    posed = smiling(faces.centred_mesh(256, 256), amount).points
    assert folds.load().amount(canonical.decompose(posed).shape) == pytest.approx(amount, abs=0.05)


def test_a_smile_darkens_the_folds_beside_the_mouth_alike_on_both_sides() -> None:
    own = source()
    target = smiling(own.mesh, 1.0)
    found = change(own, target)
    x, y = np.rint(target.points[list(SMILE_FOLDS), :2]).astype(int).T
    assert found.min() < -5
    left, right = (found[j - 8 : j + 9, i - 8 : i + 9].min() for i, j in zip(x, y, strict=True))
    assert left < -5 and right == pytest.approx(left, abs=2)
    assert not found[:20].any()


def test_small_changes_of_expression_change_no_pixel() -> None:
    own = source()
    assert not change(own, smiling(own.mesh, 0.15)).any()


def test_windows_whose_gain_rounds_to_1_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    face = source()
    sizes: list[int] = []

    def count(
        samples: Array32, share: Array32, grid: SampleGrid, size: tuple[int, int]
    ) -> Iterator[tuple[Region, Array32]]:
        for region, factor in iterate_windows(samples, share, grid, size):
            sizes.append(factor.size)
            yield region, factor

    monkeypatch.setattr(folds, "iterate_windows", count)
    made = [render_frame(face, smiling(face.mesh, 1.0), None)]
    usual = sum(sizes)
    monkeypatch.setattr(folds, "LEAST_GAIN", 0.0)
    made.append(render_frame(face, smiling(face.mesh, 1.0), None))
    assert np.array_equal(made[0], made[1])
    assert 0 < usual < sum(sizes) - usual


def test_a_full_beard_is_not_folded() -> None:
    mesh = faces.centred_mesh(256, 256, 0.7)
    image = np.full((256, 256, 3), faces.SKIN, np.uint8)
    image[int(mesh[2, 1]) :] = (50, 40, 35)  # from the nose down, the skin around the mouth too
    image = faces.add_relief(image)
    found = prepare(image, faces.make_face(mesh), None, with_folds=True).folds
    assert found is not None
    assert not found.shown[mesh[:, 1] > mesh[2, 1] + 2].any()
    assert found.shown[9] == 1


def test_overexposed_skin_is_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    for limits in ("RELIEF_RANGE", "PAPER_RANGE", "GREY_PAPER_RANGE"):
        monkeypatch.setattr(folds, limits, (-1.0, 0.0))
    for light, shown in ((200, 1.0), (254, 0.0)):
        found = source((light, light, light), plain=True).folds
        assert found is not None
        assert (found.shown == shown).all()


def test_the_option_turns_the_folds_off() -> None:
    own = source()
    for value, has in (("on", True), ("off", False)):
        options = ReenactOptions(mesh=MeshOptions(matte="off", patches="off", folds=value))  # type: ignore[arg-type]
        engine = load(RunOptions(), options)
        assert (engine.encode_source(own.image, own.face).folds is not None) == has


@pytest.mark.parametrize("paper", [(200, 200, 200), faces.SKIN])
def test_a_drawing_of_lines_on_paper_is_not_folded(
    monkeypatch: pytest.MonkeyPatch, paper: tuple[int, int, int]
) -> None:
    mesh = faces.centred_mesh(256, 256, 0.7)
    image = np.full((256, 256, 3), paper, np.uint8)
    for column in range(3):
        image[:, column::12] = image[:, column::12] // 2  # hatched
    natural = float(paper == faces.SKIN)
    monkeypatch.setattr(folds, "RELIEF_RANGE", (-1.0, 0.0))
    assert not folds.prepare(image, mesh, None, natural).shown.any()
    monkeypatch.setattr(folds, "PAPER_LINE", 1)  # which leaves the lines
    assert folds.prepare(image, mesh, None, natural).shown.any()


def test_plain_colours_of_a_drawing_are_not_folded() -> None:
    own = source(plain=True)
    assert own.folds is not None and not own.folds.shown.any()
    assert not change(own, smiling(own.mesh, 1.0)).any()


@pytest.mark.parametrize("grey", [False, True])
def test_skin_reddens_where_it_darkens_but_not_in_grey_pictures(grey: bool) -> None:
    mesh = faces.centred_mesh(256, 256, 0.7)
    image = faces.add_relief(faces.render_face(mesh, 256, 256))
    if grey:
        image = np.repeat(image.mean(-1, keepdims=True).astype(np.uint8), 3, 2)
    own = prepare(image, faces.make_face(mesh), None, with_folds=True)
    target = smiling(mesh, 1.5)
    plain = render_frame(replace(own, folds=None), target, None).astype(float)
    folded = render_frame(own, target, None).astype(float)
    dark = (plain - folded).mean(-1) > 8
    red, green, blue = np.log(folded[dark] / plain[dark]).mean(0)
    assert dark.sum() > 50
    if grey:
        assert red == pytest.approx(blue, abs=1e-3)
    else:
        assert 0.7 < red / green < 0.9 and 1.0 < blue / green < 1.15
