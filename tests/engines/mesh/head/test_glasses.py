"""Glasses: found by the face's regions, and rigid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.errors import NoFaceError, WeightsError
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array, Array32, Crop, Face, Image, Motion
from thcli.engines.mesh import anatomy, warp
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.engine import MeshEngine
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.glasses import held as held_glasses
from thcli.engines.mesh.pictures.several import SeveralPictures
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.source_networks import parse_source
from thcli.faces.crops.crop import transform_face
from thcli.faces.landmarks.topology import BROWS, EYES, OVAL
from thcli.faces.parsing import graph
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions
from thcli.motion import brows, canonical
from thcli.motion.render_target import RenderTarget

MESH = faces.centred_mesh(256, 256)
IMAGE = faces.render_face(MESH, 256, 256)
FACE = faces.make_face(MESH)
ENGINE = RunOptions(device="cpu")


class FakeParser:
    """Sees glasses from the brows to the cheeks, and hair in all that is outside of the mesh."""

    crop_size = 128
    template: Template = "ffhq"

    def parse(self, crops: Sequence[Image], found: Sequence[Face]) -> Array32:
        """Paint the regions of each crop's mesh."""
        planes = np.zeros((len(crops), len(CLASSES), 128, 128), np.float32)
        for plane, face in zip(planes, found, strict=True):
            assert face.mesh is not None
            mesh = np.asarray(face.mesh, np.float64)
            inside = faces.polygon_mask(mesh[OVAL, :2], 128, 128)
            rows = np.arange(128)[:, None]
            worn = (rows >= mesh[np.concatenate(BROWS), 1].min()) & (rows < mesh[4, 1])
            plane[class_number("hair")] = ~inside
            plane[class_number("eye_g")] = inside & worn
            plane[class_number("skin")] = inside & ~worn
        return planes


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> MeshEngine:
    """Return an engine whose parser sees glasses in each picture."""
    monkeypatch.setattr(graph, "load", lambda run: FakeParser())
    return MeshEngine(ENGINE, "off", mouth="synthetic", with_folds=True)


def raised(source: MeshSource, amount: float = 0.15) -> Array:
    """Raise the brows of a source, canonical units: (468, 3)."""
    posed = canonical.decompose(source.mesh)
    rise = brows.weights()[:, None] * np.array([0, -amount, 0])
    return np.asarray(replace(posed, shape=posed.shape + rise).mesh())


def render(source: MeshSource, points: Array) -> Array:
    frame = render_frame(source, RenderTarget(points, np.zeros((2, 2)), np.ones(2)), None)
    return np.asarray(frame, np.float64)


def _regions(worn: float) -> Regions:
    """Draw glasses from the brows to the middle of the cheeks, with a probability."""
    planes = np.zeros((len(CLASSES), 256, 256), np.float32)
    top = MESH[np.concatenate(BROWS), 1].min()
    bottom = MESH[np.concatenate(EYES), 1].max() + 0.1 * anatomy.face_height(MESH)
    planes[class_number("eye_g"), int(top) : int(bottom)] = worn
    return Regions(Crop(np.eye(3), (256, 256)), planes)


def test_brows_do_not_bend_a_frame() -> None:
    weight = held_glasses.find(_regions(1.0), MESH)
    assert weight is not None
    size, brows = anatomy.face_height(MESH), np.concatenate(BROWS)
    moved = MESH + np.array([0.2 * size, 0, 0])
    target = moved.copy()
    target[brows, 1] -= 0.08 * size
    lids = np.concatenate(EYES)
    target[lids, 1] += 0.01 * size
    held = held_glasses.hold(weight, MESH, target)
    inside = weight[brows] > 0.9
    assert inside.sum() > len(brows) / 2
    assert np.abs(held - moved)[brows[inside]].max() < 0.02 * size
    assert np.array_equal(held[lids], target[lids])


def test_without_glasses_nothing_is_held() -> None:
    assert held_glasses.find(_regions(0.2), MESH) is None


def test_a_parsed_source_wears_glasses_that_its_frames_and_meshes_hold(
    engine: MeshEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = engine.encode_source(IMAGE, FACE)
    assert source.rigid is not None and source.rigid.max() > 0.9
    points = raised(source)
    assert np.abs(render(source, points) - render(replace(source, rigid=None), points)).max() > 30
    arrays = {
        "points": points[None],
        "gaze": np.zeros((1, 2, 2)),
        "opening": np.ones((1, 2)),
        "driver": np.zeros((1, 468, 3)),
        "shown": np.zeros(1, bool),
        "weight": np.ones(1),
        "body": np.zeros((1, 2)),
        "camera": np.eye(2, 3)[None],
        "torso": np.eye(2, 3)[None],
    }
    motion = Motion("mesh-target", np.arange(1), Fraction(1, 25), np.ones(1, bool), arrays)
    warped, build = [], warp.build_map

    def keep(*given: object) -> warp.WarpMap | None:
        warped.append(given[2])
        return build(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(warp, "build_map", keep)
    engine.render(source, motion, None)
    (placed,) = engine.place_meshes(source, motion)
    assert np.array_equal(placed, warped[0])  # type: ignore[arg-type]
    brow = np.concatenate(BROWS)
    moved = np.abs(points - source.mesh)[brow].max()
    assert np.abs(placed - source.mesh)[brow].max() < 0.5 * moved


def test_brows_behind_a_frame_draw_lines_above_it(engine: MeshEngine) -> None:
    source = engine.encode_source(faces.add_relief(np.full_like(IMAGE, faces.SKIN)), FACE)
    assert source.rigid is not None and source.folds is not None
    points = raised(source)
    found = render(source, points) - render(replace(source, folds=None), points)
    assert found[: int(MESH[[105, 334], 1].min())].min() < -3


def test_further_pictures_wear_glasses_in_the_place_of_the_first(engine: MeshEngine) -> None:
    shift = np.array([[1, 0, 9], [0, 1, -6], [0, 0, 1]], np.float64)
    moved = transform_face(FACE, shift)
    image = faces.render_face(MESH + np.array([9, -6, 0]), 256, 256)
    pictures = engine.encode_among(IMAGE, FACE, [], [(image, moved)])
    assert isinstance(pictures, SeveralPictures)
    own, other = pictures.first.rigid, pictures.others[0].source.rigid
    assert own is not None and other is not None
    np.testing.assert_allclose(other, own, atol=0.2)


def test_hair_is_found_by_the_regions() -> None:
    person = np.ones((256, 256), np.float32)
    person[:, :40] = person[:, -40:] = 0
    parsed = parse_source(FakeParser(), IMAGE, FACE)
    plain, read = (
        prepare(IMAGE, FACE, SeenPersons(person), parsed=found) for found in (None, parsed)
    )
    own, seen = plain.surroundings.hair, read.surroundings.hair
    assert own is not None and seen is not None
    assert seen.mean() > own.mean() + 0.1


def test_without_its_network_a_source_wears_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: RunOptions) -> FakeParser:
        raise WeightsError("absent")

    free = MeshEngine(RunOptions(licence="free"), "off", mouth="synthetic")
    assert free.encode_source(IMAGE, FACE).rigid is None
    monkeypatch.setattr(graph, "load", refuse)
    absent = MeshEngine(ENGINE, "off", mouth="synthetic")
    assert absent.encode_source(IMAGE, FACE).rigid is None


def test_a_face_without_a_mesh_is_refused_before_it_is_parsed(engine: MeshEngine) -> None:
    for landmarks in (None, MESH[[33, 263, 1, 61, 291], :2].astype(np.float32)):
        with pytest.raises(NoFaceError, match="has no mesh"):
            engine.encode_source(IMAGE, replace(FACE, mesh=None, points=landmarks))
