"""Tests of pfd and LPIPS: known answers, properties of the bundled network, published layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluate.made_clips import PHOTO, face_at, find_face, shift_photo
from thcli.core.errors import WeightsError
from thcli.core.geometry import bounding_box
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array32, Image
from thcli.evaluate.metrics import pfd
from thcli.evaluate.metrics.networks import lpips
from thcli.evaluate.metrics.regions import RegionView
from thcli.evaluate.metrics.table import Metric, Sample
from thcli.faces.parsing import small
from thcli.faces.parsing.small import ParseS

RUN = RunOptions(device="cpu", threads=1)
CROPS: list[Image] = [np.ascontiguousarray(np.roll(PHOTO, shift, 1)) for shift in (0, 3, 12)]


@pytest.fixture(scope="module")
def network() -> ParseS:
    return small.load(RUN, pfd.NAME)


class ColourFeatures:
    """Extractor whose only map is the image, so that answers are known."""

    crop_size = 256
    template: Template = "ffhq"

    def __init__(self) -> None:
        self.calls = 0

    def features(self, crops: Sequence[Image]) -> list[Array32]:
        self.calls += 1
        maps = np.stack([np.moveaxis(crop.astype(np.float32), 2, 0) for crop in crops])
        return [maps, 7 * maps[:, :, ::2, ::2]]


def test_the_definition() -> None:
    red, green, grey = (np.zeros((4, 4, 3), np.uint8) for _ in range(3))
    red[..., 0], green[..., 1], grey[...] = 200, 30, 90
    # Vectors at right angles, whatever their length.
    assert pfd.pfd(ColourFeatures(), [red], [green]) == pytest.approx([2.0])
    assert pfd.pfd(ColourFeatures(), [red], [grey]) == pytest.approx([2 - 2 / np.sqrt(3)])
    half = red.copy()
    # One map sees a half of it changed, the other, which has every second row alone, all of
    # it.
    half[::2] = green[::2]
    assert pfd.pfd(ColourFeatures(), [red], [half]) == pytest.approx([(1.0 + 2.0) / 2])
    assert pfd.pfd(ColourFeatures(), [np.zeros_like(red)], [np.zeros_like(red)]) == pytest.approx(
        [0.0]
    )


def test_images_without_partners_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 1 images"):
        pfd.pfd(ColourFeatures(), CROPS[:2], CROPS[:1])


def test_of_the_shipped_network(network: ParseS) -> None:
    assert pfd.pfd(network, CROPS, CROPS) == pytest.approx([0, 0, 0], abs=1e-9)
    near, far = pfd.pfd(network, [CROPS[0]] * 2, CROPS[1:])
    assert 0 < near < far < 2
    assert pfd.pfd(network, CROPS[1:], [CROPS[0]] * 2) == pytest.approx([near, far])
    # A batch of one gives the same, bit for bit.
    assert pfd.pfd(network, [CROPS[0]], [CROPS[2]])[0] == far


@settings(max_examples=8, deadline=None)
@given(st.floats(0.15, 0.85))
def test_more_blur_is_farther(network: ParseS, share: float) -> None:
    soft = (np.roll(PHOTO, 4, 1).astype(float) + np.roll(PHOTO, -4, 1)) / 2
    steps = [np.rint(PHOTO * (1 - k) + soft * k).astype(np.uint8) for k in (share / 2, share)]
    little, more = pfd.pfd(network, [PHOTO, PHOTO], steps)
    assert 0 < little < more


def make_sample(index: int, result: Image) -> Sample:
    place = RegionView.of("face", shift_photo(index), None, find_face(shift_photo(index)))
    assert place is not None
    return Sample(place, None, result)


def mean_of(metric: Metric, *samples: Sample) -> float | None:
    cell = metric.make()
    for one in samples:
        cell.add(one)
    return cell.value()


def test_as_a_row_of_the_table() -> None:
    seen = ColourFeatures()
    metric = pfd.make_metric(seen)
    assert (metric.name, metric.model, metric.better, metric.regions) == (
        "pfd",
        "pfd-s",
        "lower",
        ("face",),
    )
    same, other = make_sample(2, shift_photo(2)), make_sample(2, shift_photo(3))
    assert mean_of(metric, same) == pytest.approx(0, abs=1e-9)
    calls = seen.calls
    both = metric.make(), metric.make()  # two rows of one frame: the truth is seen once
    for cell in both:
        cell.add(other)
    assert seen.calls == calls + 3
    assert (both[0].value() or 0) > 0


def test_a_truth_without_a_face_is_left_out() -> None:
    flat = np.zeros((468, 3), np.float32)
    good = make_sample(1, shift_photo(1))
    bad = replace(
        good, truth=replace(good.truth, face=replace(face_at(0), mesh=flat, box=bounding_box(flat)))
    )
    none = replace(good, truth=replace(good.truth, face=None))
    assert mean_of(pfd.make_metric(ColourFeatures()), bad, none) is None
    assert mean_of(pfd.make_metric(ColourFeatures()), bad, good) == pytest.approx(0, abs=1e-9)


def test_not_where_the_licence_leaves_parse_s_out() -> None:
    assert [metric.name for metric in pfd.load_metrics(RUN)] == ["pfd", "mouth_pfd"]
    assert pfd.load_metrics(replace(RUN, licence="free")) == ()


# torchvision's alexnet: features.N; the classifier is not read by LPIPS.
LAYOUT = {
    0: (64, 3, 11, 11),
    3: (192, 64, 5, 5),
    6: (384, 192, 3, 3),
    8: (256, 384, 3, 3),
    10: (256, 256, 3, 3),
}


def make_published_tensors() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return random tensors under the keys of torchvision's alexnet and of the lpips package."""
    made = torch.Generator().manual_seed(3)
    backbone = {"classifier.1.bias": torch.zeros(8)}
    for number, shape in LAYOUT.items():
        spread = float(np.sqrt(2 / np.prod(shape[1:])))
        backbone[f"features.{number}.weight"] = spread * torch.randn(shape, generator=made)
        backbone[f"features.{number}.bias"] = 0.1 * torch.randn(shape[0], generator=made)
    linear = {
        f"lin{i}.model.1.weight": torch.rand((1, shape[0], 1, 1), generator=made)
        for i, shape in enumerate(LAYOUT.values())
    }
    return backbone, linear


def build_alexnet(tensors: dict[str, torch.Tensor]) -> torch.nn.Sequential:
    """Return torchvision's alexnet.features, layer by layer."""
    relu, pool = torch.nn.ReLU, torch.nn.MaxPool2d
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 64, 11, 4, 2),
        relu(),
        pool(3, 2),
        torch.nn.Conv2d(64, 192, 5, 1, 2),
        relu(),
        pool(3, 2),
        torch.nn.Conv2d(192, 384, 3, 1, 1),
        relu(),
        torch.nn.Conv2d(384, 256, 3, 1, 1),
        relu(),
        torch.nn.Conv2d(256, 256, 3, 1, 1),
        relu(),
        pool(3, 2),
    )
    network.load_state_dict(
        {k.removeprefix("features."): v for k, v in tensors.items() if k.startswith("features.")}
    )
    return network


def test_lpips_has_the_published_layout() -> None:
    backbone, linear = make_published_tensors()
    network, official = lpips.build_lpips(backbone, linear), build_alexnet(backbone)
    drawn = torch.Generator().manual_seed(4)
    first, second = (torch.rand((1, 3, 96, 80), generator=drawn) for _ in range(2))
    total = torch.zeros(1)
    with torch.inference_mode():
        maps: list[list[torch.Tensor]] = [[], []]
        for image, kept in zip((first, second), maps, strict=True):
            x = (image * 2 - 1 - torch.tensor(lpips.SHIFT).view(3, 1, 1)) / torch.tensor(
                lpips.SCALE
            ).view(3, 1, 1)
            for number, layer in enumerate(official):
                x = layer(x)
                if number in (1, 4, 7, 9, 11):
                    kept.append(x)
        for a, b, weights in zip(*maps, linear.values(), strict=True):
            apart = torch.nn.functional.normalize(a) - torch.nn.functional.normalize(b)
            total += (weights * apart**2).sum(1).mean()
        assert float(network(first, second)) == pytest.approx(float(total), rel=1e-5)
        assert float(network(first, first)) == 0


def test_lpips_of_another_layout_is_refused() -> None:
    backbone, linear = make_published_tensors()
    with pytest.raises(WeightsError, match="alexnet does not fit"):
        lpips.build_lpips(
            {key: value for key, value in backbone.items() if key != "features.6.bias"}, linear
        )
    with pytest.raises(WeightsError, match="lpips-alex does not fit"):
        lpips.build_lpips(backbone, {**linear, "lin2.model.1.weight": torch.rand(1, 12, 1, 1)})


def test_lpips_as_a_row_of_the_table() -> None:
    metric = lpips.make_metric(lpips.build_lpips(*make_published_tensors()))
    assert (metric.name, metric.model, metric.better) == ("lpips", "alexnet", "lower")
    near, far = (mean_of(metric, make_sample(2, shift_photo(index))) for index in (2, 5))
    assert near == pytest.approx(0, abs=1e-9)
    assert (far or 0) > 1e-4
