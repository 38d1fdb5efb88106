"""identity-s: shapes, unit length, folding and batches; identities with the bundled weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from thcli.core.errors import NoFaceError, WeightsError
from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Face, Image
from thcli.faces.detection.blazeface import load as load_detector
from thcli.faces.identity.aligned_crop import SIZE, aligned_crop
from thcli.faces.identity.network import (
    SIDE,
    VECTOR_LENGTH,
    IdentityNet,
    fold_batch_norm,
    reduce_crop,
)
from thcli.faces.identity.small import IdentitySmall, load, load_file
from thcli.faces.landmarks.facemesh import load as load_landmarker

CPU = RunOptions(device="cpu", threads=1)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def random_network(narrow: int = 8) -> IdentityNet:
    """Return a network with random statistics in its normalizations."""
    torch.manual_seed(3)
    net = IdentityNet(narrow)
    with torch.no_grad():
        for _ in range(3):
            net.train()(torch.rand(16, 3, SIDE, SIDE))
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
    return net.eval()


def crops(count: int) -> list[Image]:
    return list(np.random.default_rng(1).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8))


def test_vectors_have_unit_length() -> None:
    out, maps = random_network().forward_with_maps(torch.rand(3, 3, SIDE, SIDE))
    assert out.shape == (3, VECTOR_LENGTH)
    assert torch.allclose(out.norm(dim=1), torch.ones(3), atol=1e-5)
    assert [m.shape[2:] for m in maps] == [(8, 8), (4, 4)]


def test_the_input_is_the_area_mean() -> None:
    crop = crops(1)[0]
    assert reduce_crop(crop).shape == (SIDE, SIDE, 3)
    assert float(reduce_crop(crop).mean()) == pytest.approx(float(crop.mean()), abs=0.5)
    assert reduce_crop(np.full((SIZE, SIZE, 3), 200, np.uint8)).min() == 200


def test_a_mirror_image_is_the_same_person() -> None:
    encoder = IdentitySmall(random_network(), torch.device("cpu"))
    crop = crops(1)[0]
    rows = encoder.encode_crops([crop, np.ascontiguousarray(crop[:, ::-1])])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)


def test_folding_changes_only_the_layers() -> None:
    net = random_network()
    small = fold_batch_norm(net)
    x = torch.rand(4, 3, SIDE, SIDE)
    with torch.inference_mode():
        assert float((net(x) - small(x)).abs().max()) < 1e-5
    assert not any(
        isinstance(m, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d) for m in small.modules()
    )
    assert any(
        isinstance(m, torch.nn.BatchNorm2d) for m in net.modules()
    )  # the given one is left alone


def test_the_bundled_network_is_small() -> None:
    assert 2 * sum(value.numel() for value in IdentityNet().state_dict().values()) < 16e6


@pytest.mark.parametrize("count", [0, 1, 40])
def test_a_vector_does_not_depend_on_the_batch(count: int) -> None:
    encoder = IdentitySmall(random_network(), torch.device("cpu"))
    rows = encoder.encode_crops(crops(count))
    assert rows.shape == (count, VECTOR_LENGTH) and rows.dtype == np.float32
    for row, crop in list(zip(rows, crops(count), strict=True))[::13]:
        np.testing.assert_allclose(encoder.encode_crops([crop])[0], row, atol=1e-5)


def test_a_face_without_landmarks_is_refused() -> None:
    encoder = IdentitySmall(random_network(), torch.device("cpu"))
    with pytest.raises(NoFaceError):
        encoder.identify(
            np.zeros((64, 64, 3), np.uint8), Face(np.array([0, 0, 9, 9], np.float32), 0.9)
        )


def test_other_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(
        {key: value.contiguous() for key, value in random_network().state_dict().items()},
        tmp_path / "narrow.safetensors",
    )
    with pytest.raises(WeightsError, match=r"narrow\.safetensors does not fit its network"):
        load_file(tmp_path / "narrow.safetensors", CPU)


def test_a_free_licence_refuses_the_weights() -> None:
    with pytest.raises(WeightsError, match="identity-s may not be used with --licence free"):
        load(RunOptions(device="cpu", licence="free"))


def face_of(image: Image) -> Face:
    """Return the largest face of an image, with its mesh."""
    detector, landmarker = load_detector(CPU), load_landmarker(CPU)
    face = landmarker.fit(image, detector.detect(image)[0])
    assert face is not None
    return face


def astronaut() -> Image:
    return np.asarray(data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]


def vector_of(image: Image) -> Array32:
    return load(CPU).identify(image, face_of(image)).vector


def test_the_bundled_weights_recognize_a_face() -> None:
    """Rotated, small, mirrored, dark, compressed; 16 bits give the same vector."""
    image = astronaut()
    own, encoder = vector_of(image), load(CPU)
    assert encoder.identify(image, face_of(image)).backend == "identity-s"
    turn = cv2.getRotationMatrix2D((220, 100), 25, 1.0)
    turned = np.asarray(cv2.warpAffine(image, turn, (512, 512)), np.uint8)
    dark = np.asarray(image * 0.4, np.uint8)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    small = np.asarray(cv2.resize(image, (160, 160), interpolation=cv2.INTER_AREA), np.uint8)
    _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 12])
    poor = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    for name, other in {
        "turned": turned,
        "dark": dark,
        "mirrored": mirrored,
        "small": small,
        "poor": poor,
    }.items():
        assert float(vector_of(other) @ own) > encoder.same_person + 0.1, name
    deep = image.astype(np.uint16) * 257
    np.testing.assert_allclose(
        encoder.encode_crops([aligned_crop(deep, face_of(image))])[0], own, atol=0.02
    )


def test_the_bundled_weights_separate_people(shared: Path) -> None:
    """Frames of one clip are one person, two portraits are two."""
    from thcli import media

    encoder = load(CPU)
    clips = {}
    for name in ("d0.mp4", "d10.mp4"):
        with media.read(shared / "media" / name) as frames:
            clips[name] = [
                vector_of(to_uint8(frame.pixels)) for frame in frames if frame.index in (0, 60)
            ]
    people = [rows[0] for rows in clips.values()]
    people += [
        vector_of(media.read_image(shared / "media" / name))
        for name in ("s5.jpg", "s9.jpg", "s10.jpg")
    ]
    for first, last in clips.values():
        assert float(first @ last) > encoder.same_person
    table = np.stack(people) @ np.stack(people).T
    assert float(table[np.triu_indices(len(people), 1)].max()) < encoder.same_person
