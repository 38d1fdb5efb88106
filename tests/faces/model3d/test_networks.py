"""The published models: official layouts, the references' numbers, poses and positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faces.model3d.published_weights import (
    IMAGE,
    MEAN_STD,
    PUBLISHED,
    Published,
    face,
    flame_tensors,
    install,
    mobilenet,
    recon,
)
from tests.golden import fill
from thcli.core.errors import WeightsError
from thcli.core.geometry import (
    angles_from_matrix,
    matrix_from_angles,
    matrix_from_rotvec,
    transform_points,
)
from thcli.core.options import RunOptions
from thcli.core.protocols import FaceModel
from thcli.faces.model3d import crops, deca, deep3d, tddfa
from thcli.faces.model3d.network import split_columns
from thcli.motion.backends import FACE_MODELS

RUN = RunOptions(device="cpu", threads=1)
NAMES = [pytest.param(row, id=row.name) for row in PUBLISHED]


@pytest.fixture(scope="module", params=NAMES)
def row(request: pytest.FixtureRequest) -> Published:
    """Return one published model after another."""
    found: Published = request.param
    return found


@pytest.fixture(scope="module")
def model(row: Published, tmp_path_factory: pytest.TempPathFactory) -> FaceModel:
    """Load the model from imported files of its official form; the next model replaces it."""
    with pytest.MonkeyPatch.context() as patch:
        room = tmp_path_factory.mktemp(row.name)
        patch.setenv("THCLI_WEIGHTS", str(room / "cache"))
        install(row, room)
        loaded: FaceModel = FACE_MODELS.backend(row.name).load(RUN)
        return loaded


def test_every_row_of_the_table_is_here() -> None:
    assert {row.name for row in PUBLISHED} | {"mesh"} == set(FACE_MODELS.rows)


@pytest.mark.slow
def test_official_layouts_load_and_give_their_columns(row: Published, model: FaceModel) -> None:
    found = model.fit([IMAGE, IMAGE], [face(), face(20, -10)])
    assert (found.model, len(found)) == (row.name, 2)
    assert found.identity.shape == (2, row.identity)
    assert found.expression.shape == (2, row.expression) == (2, len(model.expression_names))
    assert {name: values.shape for name, values in found.native.items()} == {
        k: (2, n) for k, n in row.own.items()
    }
    arrays = (
        found.identity,
        found.expression,
        found.rotation,
        found.scale,
        found.translation,
        *found.native.values(),
    )
    assert all(a.dtype == np.float32 and np.isfinite(a).all() for a in arrays)
    assert np.abs(found.expression[0] - found.expression[1]).max() > 1e-4  # it looks at the picture
    assert model.uses_images


@pytest.mark.slow
def test_results_do_not_depend_on_the_batch(model: FaceModel) -> None:
    """The same view elsewhere in a larger image: equal coefficients, shifted position."""
    wide = np.zeros((400, 500, 3), np.uint8)
    wide[90:346, 130:386] = IMAGE
    bordered = np.zeros((400, 500, 3), np.uint8)
    bordered[40:296, 60:316] = IMAGE
    both = model.fit([wide, bordered, wide], [face(130, 90), face(60, 40), face(130, 90)])
    for name in ("identity", "expression", "rotation", "scale"):
        values = getattr(both, name)
        np.testing.assert_allclose(
            values[1], values[0], rtol=2e-3, atol=2e-3 * np.abs(values).max()
        )
    np.testing.assert_allclose(both.translation[0] - both.translation[1], [70, 50], atol=0.5)
    alone = model.fit([wide], [face(130, 90)])
    np.testing.assert_allclose(alone.expression[0], both.expression[2], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_deca_equals_the_reference(shared: Path) -> None:
    """golden/FADM.npz, deca/*: from the public code, filled by name."""
    model = deca.Deca.from_tensors(flame_tensors(), RUN)
    with np.load(shared / "golden" / "FADM.npz") as file:
        expected = {key: file[key] for key in ("deca/params", "deca/attr_from_256")}

    def blocks(index: int, side: int) -> torch.Tensor:
        small = 1 / (1 + np.exp(-fill.normal(f"FADM/input-{index}", (2, 3, 8, 8), 0)))
        return torch.from_numpy(
            np.kron(small, np.ones((side, side), np.float32)).astype(np.float32)
        )

    with torch.inference_mode():
        network = deca.DecaEncoder().eval()
        network.load_state_dict(flame_tensors())
        params = network(blocks(40, 28)).numpy()
    both = model.extract_attributes(blocks(41, 32))
    for got, key in ((params, "deca/params"), (both[:1] - both[1:], "deca/attr_from_256")):
        assert np.abs(got - expected[key]).max() <= 1e-4 * max(1, np.abs(expected[key]).max())


def test_other_files_are_refused() -> None:
    good = {key: torch.zeros(shape) for key, shape in mobilenet(0.5).items()}
    with pytest.raises(WeightsError, match=r"1 missing \(dw6.bn_sep.weight\)"):
        tddfa.Tddfa.from_tensors(
            {k: v for k, v in good.items() if k != "dw6.bn_sep.weight"}, MEAN_STD, "tddfa-mb05", RUN
        )
    with pytest.raises(WeightsError, match="1 unexpected"):
        tddfa.Tddfa.from_tensors(
            {**good, "fc_other.weight": torch.zeros(2)}, MEAN_STD, "tddfa-mb05", RUN
        )
    with pytest.raises(WeightsError, match="mean and std of 62"):
        tddfa.Tddfa.from_tensors(good, {"mean": MEAN_STD["mean"]}, "tddfa-mb05", RUN)
    keys = {key: torch.zeros(shape) for key, shape in recon().items()}
    with pytest.raises(WeightsError, match="missing"):
        deep3d.Deep3d.from_tensors(
            {k: v for k, v in keys.items() if "final_layers.6" not in k}, RUN
        )
    with pytest.raises(WeightsError, match="missing"):
        deca.Deca.from_tensors({"encoder.conv1.weight": torch.zeros(64, 3, 7, 7)}, RUN)


def test_absent_weights_name_the_command(
    row: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        FACE_MODELS.backend(row.name).load(RUN)
    assert caught.value.exit_code == 5
    assert f"thcli weights pull {next(iter(row.files))}" in caught.value.hint
    with pytest.raises(WeightsError, match="--licence free"):
        FACE_MODELS.backend(row.name).load(RunOptions(device="cpu", licence="free"))


turns = st.floats(-80, 80)


@settings(max_examples=30, deadline=None)
@given(turns, turns, turns, st.floats(1e-4, 1e-2), st.floats(-50, 200), st.floats(-50, 200))
def test_the_pose_matrix_of_tddfa_is_decomposed(
    pitch: float, yaw: float, roll: float, scale: float, x: float, y: float
) -> None:
    upright = np.diag([1.0, -1.0, -1.0])
    turn = upright @ matrix_from_angles((pitch, yaw, roll)) @ upright
    matrix = np.concatenate([scale * turn, [[x], [y], [7.0]]], 1)
    rotation, size, shift = tddfa.decompose_pose(matrix.reshape(1, 12).astype(np.float32))
    np.testing.assert_allclose(angles_from_matrix(rotation)[0], (pitch, yaw, roll), atol=1e-3)
    assert size[0] == pytest.approx(scale, rel=1e-5)
    np.testing.assert_allclose(shift[0], (x, y, 7), rtol=1e-5, atol=1e-5)


def test_the_angles_of_deep3d_have_y_up() -> None:
    """About x both conventions agree; about y and z the image axes are opposite."""
    angles = np.radians([[10, 0, 0], [0, 10, 0], [0, 0, 10]]).astype(np.float32)
    found = angles_from_matrix(deep3d.image_rotation(angles))
    np.testing.assert_allclose(found, [[10, 0, 0], [0, -10, 0], [0, 0, -10]], atol=1e-4)


def test_the_camera_of_deep3d() -> None:
    scale, origin = deep3d.project_origin(np.array([[0, 0, 0], [0.1, 0.2, 1.0]], np.float32))
    np.testing.assert_allclose(scale, np.array([101.5, 1015 / 9]))
    np.testing.assert_allclose(
        origin, np.array([[112, 111], [112 + 101.5 / 9, 111 - 203 / 9]]), rtol=1e-5
    )


@pytest.mark.parametrize("row", PUBLISHED[-1:], ids=["deca"], indirect=True)
def test_the_camera_and_head_of_deca(model: FaceModel) -> None:
    found = model.fit([IMAGE], [face()])
    cam, pose = found.native["cam"][0], found.native["pose"][0]
    np.testing.assert_allclose(found.rotation[0], pose[:3] * [1, -1, -1], rtol=1e-5)
    placement = crops.deca(face())
    k = placement.crop_from_frame[0, 0]
    assert found.scale[0] == pytest.approx(cam[0] * 112 / k, rel=1e-4)
    seen = transform_points(placement.crop_from_frame, found.translation[0])
    np.testing.assert_allclose(
        seen, [112 + 112 * cam[0] * cam[1], 112 - 112 * cam[0] * cam[2]], atol=1e-2
    )
    assert np.isfinite(matrix_from_rotvec(found.rotation)).all()


def test_columns_must_add_up() -> None:
    assert split_columns(np.zeros((2, 5), np.float32), a=2, b=3)["b"].shape == (2, 3)
    with pytest.raises(ValueError, match="5 columns"):
        split_columns(np.zeros((2, 5), np.float32), a=2, b=2)
