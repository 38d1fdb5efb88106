"""Several pictures of one person: shares, targets and blending."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh import synthetic_glasses as worn
from tests.engines.mesh.synthetic_faces import astronaut
from tests.pipeline.command_line import to_argv
from thcli import media
from thcli.cli.app import run
from thcli.core.options import RunOptions
from thcli.core.types import Array
from thcli.engines.mesh.engine import MeshEngine
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.shades import folds
from thcli.engines.mesh.pictures.several import (
    SeveralPictures,
    blend_face,
    find_kept,
    picture_shares,
    prepare_pictures,
    targets_of_others,
)
from thcli.engines.mesh.prepared_source import MeshSource
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.motion.canonical import decompose
from thcli.motion.control.apply import apply_sliders
from thcli.motion.render_target import RenderTarget


def smiling(amount: float) -> Array:
    """Return the mesh of the photograph with another smile, (468, 3)."""
    posed = decompose(astronaut(matte=False).mesh)
    shape = posed.shape[None].copy()
    apply_sliders(shape, {"smile": np.array([amount])}, posed.shape)
    return np.asarray(replace(posed, shape=shape[0]).mesh())


def target(mesh: Array) -> RenderTarget:
    return RenderTarget(mesh, np.zeros((2, 2)), np.ones(2))


@cache
def pictures() -> SeveralPictures:
    """Return the photograph, and as a further picture it with the corners of the mouth down."""
    first = astronaut(matte=False)
    frowning = render_frame(first, target(smiling(-1.0)), None)
    face = replace(first.face, mesh=smiling(-1.0).astype(np.float32))
    return prepare_pictures(first, [(frowning, face)], [None])


def test_the_share_of_a_picture_rises_smoothly_towards_its_expression() -> None:
    begin, end = pictures().first.mesh, pictures().others[0].source.mesh
    line = [begin + amount * (end - begin) for amount in np.linspace(0, 1, 21)]
    values = [picture_shares(pictures(), mesh)[0] for mesh in line]
    assert values[0] == 0 and values[-1] > 0.99
    assert np.all(np.diff(values) >= 0) and np.diff(values).max() < 0.2
    assert picture_shares(pictures(), smiling(0.6))[0] == 0


def test_a_further_picture_is_in_the_place_of_the_first() -> None:
    (other,) = pictures().others
    own, placed = decompose(pictures().first.mesh), other.posed
    np.testing.assert_allclose(placed.centre[:2], own.centre[:2], atol=0.5)
    assert placed.log_scale == pytest.approx(own.log_scale, abs=0.01)
    assert other.source.size == pictures().size


def test_further_pictures_are_measured_and_shaded_as_the_first() -> None:
    first = astronaut(matte=False)
    folded = replace(first, folds=folds.prepare(first.image, first.mesh, None, 1.0))
    (other,) = prepare_pictures(folded, [(first.image, first.face)], [None]).others
    assert other.source.folds is not None and pictures().others[0].source.folds is None
    np.testing.assert_allclose(other.posed.shape, decompose(other.source.mesh).shape)


def test_only_pictures_with_a_share_are_rendered() -> None:
    assert targets_of_others(pictures(), target(smiling(0.0))) == []
    own = pictures().others[0].source.mesh
    ((_, moved, share),) = targets_of_others(pictures(), target(own))
    assert share > 0.99 and moved.gaze.shape == (2, 2)


def test_the_face_is_blended_and_what_is_around_it_stays() -> None:
    image, mesh = photograph(), smiling(0.0)
    out = blend_face(image, np.zeros_like(image), mesh, None, 1.0)
    nose, corner = np.round(mesh[1, :2]).astype(int), out[:20, :20]
    assert out[nose[1], nose[0]].max() < 5
    np.testing.assert_array_equal(corner, image[:20, :20])


@pytest.mark.parametrize("in_skin", [False, True])
def test_a_further_picture_shows_the_glasses_of_the_first_alone(in_skin: bool) -> None:
    mesh = worn.MESH
    tilted = worn.turned(mesh, 8)
    image, parsed = worn.wearer(mesh)
    first = worn.source(image, parsed)
    frame = (90, 20, 160)
    other, seen = worn.wearer(tilted, frame=(180, 130, 110) if in_skin else frame)
    found = prepare_pictures(first, [(other, faces.make_face(tilted))], [seen])
    (lent,) = found.others
    assert (lent.kept is not None) is in_skin
    assert first.glasses is not None and lent.source.glasses is not None
    assert len(lent.source.glasses.pieces) == len(first.glasses.pieces)
    points = lent.source.mesh
    shown = render_frame(lent.source, target(points), None)
    own = render_frame(first, target(points), None)
    blended = blend_face(own, shown, points, None, 1.0, lent.kept).astype(int)
    eyes = slice(int(points[168, 1] - 0.1 * worn.SIZE), int(points[168, 1] + 0.2 * worn.SIZE))
    rims = own[eyes].max(-1) < 60
    assert (blended[eyes].max(-1) < 90)[rims].mean() > 0.95
    assert not (np.abs(blended - frame).max(-1) < 30).any()


def test_around_dark_glasses_and_those_in_the_skin_a_further_picture_lends_nothing() -> None:
    glasses = worn.source(*worn.wearer(worn.MESH)).glasses
    assert glasses is not None
    in_skin, dark = replace(glasses, pieces=()), replace(glasses, hides_eyes=True)
    for own, others, lends in (
        (None, None, True),
        (glasses, glasses, True),
        (dark, glasses, True),
        (None, glasses, True),
        (glasses, None, True),
        (glasses, dark, False),
        (None, in_skin, False),
        (in_skin, glasses, False),
        (in_skin, None, False),
    ):
        assert (find_kept(own, others) is None) is lends


def test_the_engine_renders_the_first_picture_where_no_other_is_near() -> None:
    engine = MeshEngine(RunOptions(licence="free"), "off", mouth="synthetic")
    source = pictures()
    assert source.face is source.first.face
    plain = render_frame(source.first, target(smiling(0.3)), None)
    assert isinstance(engine.encode_among(photograph(), source.face, []), MeshSource)
    assert targets_of_others(source, target(smiling(0.3))) == []
    assert plain.shape == photograph().shape


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--source-face all", "--also gives further pictures of one face"),
        ("--engine fomm", "--also has no effect with engine fomm"),
    ],
)
def test_also_is_for_one_face_of_the_mesh_engine(
    tmp_path: Path, capsys: Any, words: str, message: str
) -> None:
    face, out = tmp_path / "face.png", tmp_path / "out.png"
    save_image(face, photograph())
    argv = to_argv("reenact", face, face, "-o", out, "--also", face)
    assert run([*argv, *words.split()]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_a_further_picture_changes_the_result(tmp_path: Path) -> None:
    face, frown = tmp_path / "face.png", tmp_path / "frown.png"
    save_image(face, photograph())
    argv = to_argv("reenact", face, "--smile -1 -q -o", frown)
    assert run(argv) == 0
    for name, more in (("a.png", []), ("b.png", ["--also", str(frown)])):
        argv = to_argv("reenact", face, "--smile -0.8 -q -o", tmp_path / name)
        assert run([*argv, *more]) == 0
    a, b = (media.read_image(tmp_path / name).astype(int) for name in ("a.png", "b.png"))
    assert np.abs(a - b).max() > 3 and np.abs(a - b)[:20].max() == 0
