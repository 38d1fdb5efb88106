"""FID, KID and LPIPS against the numbers of their reference implementations, and their use.

GOLDEN was computed by torch-fidelity, clean-fid, lpips, torchmetrics and scikit-image, with weights
filled as `tests.golden.fill` says.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from tests.evaluate.made_clips import PHOTO, face_at, make_clip, make_tracker, shift_photo
from tests.golden.fill import shapes, state
from thcli.core.types import Array, Face, Image
from thcli.evaluate.metrics.image import mean_squared_error, ms_ssim, psnr, ssim
from thcli.evaluate.metrics.measure import TrueClip, copy_row, measure, truth_row
from thcli.evaluate.metrics.networks.inception import (
    InceptionV3,
    build_inception,
    encode_images,
    resize_cleanly,
)
from thcli.evaluate.metrics.networks.lpips import VARIANTS, Lpips, Variant, build_lpips
from thcli.evaluate.metrics.scores import average_scores
from thcli.evaluate.metrics.sets.distribution import (
    FaceFeatures,
    FeaturePool,
    frechet_distance,
    kernel_distance,
)
from thcli.evaluate.metrics.sets.feature_store import FeatureStore

GOLDEN = json.loads(Path(__file__).with_name("golden_metrics.json").read_text("utf-8"))
GAIN = 1.4


def noise_image() -> Image:
    return np.asarray(np.random.default_rng(0).random((299, 299, 3)) * 255, np.uint8)


def test_features_are_kept_and_an_interrupted_record_is_not(tmp_path: Path) -> None:
    seen: list[float] = []

    def compute(image: Image) -> Array:
        seen.append(float(image.mean()))
        return np.asarray(image.mean((0, 1), dtype=np.float64))

    first = FeatureStore(tmp_path / "kept", "net", 3)
    wanted = first.get(PHOTO, compute)
    assert first.get(PHOTO, compute) is wanted and len(seen) == 1
    file = tmp_path / "kept" / "net.features"
    file.write_bytes(file.read_bytes() + b"half")
    second = FeatureStore(tmp_path / "kept", "net", 3)
    second.get(shift_photo(3), compute)
    third = FeatureStore(tmp_path / "kept", "net", 3)
    np.testing.assert_array_equal(third.get(PHOTO, compute), wanted)
    third.get(shift_photo(3), compute)
    assert len(seen) == 2
    alone = FeatureStore(None, "net", 3)
    alone.get(PHOTO, compute)
    alone.get(PHOTO, compute)
    assert len(seen) == 4


def test_features_of_two_processes_are_all_kept(tmp_path: Path) -> None:
    def compute(image: Image) -> Array:
        return np.asarray(image.mean((0, 1), dtype=np.float64))

    first, second = (FeatureStore(tmp_path, "net", 3) for _ in range(2))
    first.get(PHOTO, compute)
    with (tmp_path / "net.features").open("ab") as file:
        file.write(b"half")  # of a process that was killed
    second.get(shift_photo(3), compute)
    third = FeatureStore(tmp_path, "net", 3)
    for image in (PHOTO, shift_photo(3)):
        kept = third.get(image, lambda _: pytest.fail("was not kept"))
        np.testing.assert_allclose(kept, compute(image), rtol=1e-6)


def test_inception_features_equal_torch_fidelity() -> None:
    network = build_inception(state(shapes(InceptionV3), 0, GAIN))
    found = encode_images(network, [noise_image()])[0]
    wanted = np.array(GOLDEN["inception"])
    assert found.shape == (2048,)
    assert np.abs(found[:64] - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_resizing_equals_clean_fid() -> None:
    assert resize_cleanly(PHOTO)[::60, ::60, 1].ravel() == pytest.approx(GOLDEN["resized"])


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.metric)
def test_lpips_equals_its_package(variant: Variant) -> None:
    like = Lpips(variant)
    backbone = {f"features.{key}": value for key, value in like.features.state_dict().items()}
    linear = {f"lin{i}.model.1.weight": w for i, w in enumerate(like.linear)}
    weights = {key: value.abs() for key, value in state(linear, 0).items()}
    network = build_lpips(state(backbone, 0, GAIN), weights, variant)
    photo, noise = (torch.from_numpy(image[:128, :160]) for image in (PHOTO, noise_image()))
    pair = [image.permute(2, 0, 1)[None].float() / 255 for image in (photo, noise)]
    assert float(network(*pair)) == pytest.approx(GOLDEN[variant.metric], rel=1e-4)


def test_distances_of_sets_equal_clean_fid() -> None:
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(400, 64)), draw.normal(0.3, 1.2, size=(400, 64))
    assert frechet_distance(x, y) == pytest.approx(GOLDEN["frechet"], rel=1e-6)
    assert kernel_distance(x, y) == pytest.approx(GOLDEN["kernel"], rel=1e-6)


def test_few_images_have_a_distance_too() -> None:
    draw = np.random.default_rng(2)
    x, y = draw.normal(size=(7, 64)), draw.normal(0.3, 1.2, size=(9, 64))
    covariances = [np.cov(rows, rowvar=False) for rows in (x, y)]
    values = np.linalg.eigvals(covariances[0] @ covariances[1]).real
    root = np.sqrt(np.maximum(values, 0)).sum()
    wanted = ((x.mean(0) - y.mean(0)) ** 2).sum() + sum(map(np.trace, covariances)) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(wanted, rel=1e-5)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x[:1], y) is None and kernel_distance(x[:1], y) is None
    drawn = kernel_distance(x, y)
    assert drawn is not None and drawn == kernel_distance(x, y)


def test_pixel_metrics_equal_their_references() -> None:
    photo: Image = data.astronaut()  # type: ignore[no-untyped-call]  # scikit-image has no types
    spread = np.random.default_rng(3).normal(0, 20, photo.shape)
    noisy = np.clip(photo + spread, 0, 255).astype(np.uint8)
    assert ms_ssim(photo, noisy) == pytest.approx(GOLDEN["ms_ssim"], abs=1e-4)
    assert ssim(photo, noisy) == pytest.approx(GOLDEN["ssim"], abs=1e-4)
    assert psnr(mean_squared_error(photo, noisy)) == pytest.approx(GOLDEN["psnr"], abs=1e-4)


def mean_colour(image: Image, face: Face) -> Array:
    assert face.mesh is not None
    return np.append(image[20:].mean((0, 1)), float(face.mesh[0, 0]))


def test_sets_are_pooled_over_clips() -> None:
    features = FaceFeatures("colours", mean_colour, {"set": ("distance", frechet_distance)})
    rows = {"still": copy_row(shift_photo(0)), "truth": truth_row}
    found = measure(TrueClip(make_clip(5)), rows, make_tracker, metrics=features.metrics())
    assert found["truth"].values["face"]["set"] == pytest.approx(0, abs=1e-9)
    alone = found["still"].values["face"]["set"]
    both = average_scores([found["still"], found["still"]])
    assert alone is not None and alone > 10 and both.frames == 10
    pool = FeaturePool.join([found["still"].pools["set"]] * 2)
    assert both.values["face"]["set"] == pool.value() != alone


def test_a_given_truth_replaces_that_of_the_clip() -> None:
    own = np.stack([mean_colour(shift_photo(0), face_at(0))] * 3)
    features = FaceFeatures("colours", mean_colour, {"set": ("distance", frechet_distance)})
    rows = {"still": copy_row(shift_photo(0))}
    metrics = features.metrics(own)
    found = measure(TrueClip(make_clip(4)), rows, make_tracker, metrics=metrics)
    assert found["still"].values["face"]["set"] == pytest.approx(0, abs=1e-9)
