"""parse-s: the network, the backend's contract with a random network, and the shipped weights on a photograph that a dependency carries."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.core.types import Face, Image
from thcli.faces.parsing import CLASSES
from thcli.faces.parsing.network import STRIDE, ParseNet, folded
from thcli.faces.parsing.small import SIDE, ParseS, load_file

CPU = RunOptions(device="cpu")


@pytest.fixture(scope="module")
def network() -> ParseNet:
    """Random, with statistics as a trained one has."""
    torch.manual_seed(0)
    net = ParseNet()
    with torch.no_grad():
        for _ in range(3):
            net.train()(torch.rand(2, 3, 64, 64))
    return net.eval()


@pytest.fixture(scope="module")
def parser(network: ParseNet) -> ParseS:
    return ParseS(network.state_dict(), "a random network", CPU)


def crops(count: int) -> list[Image]:
    draw = np.random.default_rng(3)
    return [draw.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8) for _ in range(count)]


def faces(count: int) -> list[Face]:
    return [Face(np.array([40, 40, 200, 220], np.float32), 1.0)] * count


@pytest.mark.parametrize("sides", [(64, 64), (96, 160)])
def test_logits_are_half_the_size(network: ParseNet, sides: tuple[int, int]) -> None:
    with torch.no_grad():
        out = network(torch.rand(1, 3, *sides))
        maps = network.features(torch.rand(1, 3, *sides))
    assert out.shape == (1, len(CLASSES), sides[0] // 2, sides[1] // 2)
    assert [m.shape[2] for m in maps] == [sides[0] // s for s in (2, 4, 8, 16, STRIDE)]


def test_folding_changes_nothing(network: ParseNet) -> None:
    picture = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        plain, quick = network(picture), folded(copy.deepcopy(network))(picture)
    assert float((plain - quick).abs().max()) <= 1e-4 * float(plain.abs().max())


def test_narrow_is_for_trials() -> None:
    def count(net: ParseNet) -> int:
        return sum(p.numel() for p in net.parameters())

    assert count(ParseNet(4)) < count(ParseNet()) / 10
    assert 2 * count(ParseNet()) < 16 << 20, "fp16 bytes"


def test_the_contract(parser: ParseS) -> None:
    assert (parser.crop_size, parser.template) == (256, "ffhq")
    seen = crops(3)
    together = parser.parse(seen, faces(3))
    assert together.shape == (3, 19, 256, 256) and together.dtype == np.float32
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)
    assert together.min() >= 0
    for i in range(3):
        np.testing.assert_array_equal(parser.parse(seen[i : i + 1], faces(1))[0], together[i])


def test_nothing_in_nothing_out(parser: ParseS) -> None:
    assert parser.parse([], []).shape == (0, 19, 256, 256)
    assert [m.shape[0] for m in parser.features([])] == [0] * 5


def test_features_have_five_depths_and_follow_the_crop(parser: ParseS) -> None:
    seen = crops(2)
    maps = parser.features(seen)
    assert [m.shape for m in maps] == [(2, 16, 128, 128), (2, 32, 64, 64), (2, 64, 32, 32), (2, 128, 16, 16), (2, 160, 8, 8)]  # fmt: skip
    assert all(m.dtype == np.float32 and m.min() >= 0 for m in maps)
    for one, both in zip(parser.features(seen[1:]), maps, strict=True):
        np.testing.assert_array_equal(one[0], both[1])
    assert any(np.abs(m[0] - m[1]).max() > 0 for m in maps)


def test_a_picture_moved_by_the_stride_has_its_regions_moved(network: ParseNet) -> None:
    """Far from the border, and apart from the gate, which sees the whole picture alike."""
    net = copy.deepcopy(network)
    torch.nn.init.zeros_(net.gate.weight)
    wide = torch.rand(1, 3, 512, 576)
    with torch.no_grad():
        a, b = net(wide[..., :512]), net(wide[..., 32:544])
    margin = 96
    middle, moved = a[..., margin:-margin, margin + 16 : -margin], b[..., margin:-margin, margin : -margin - 16]
    assert float((middle - moved).abs().max()) < 1e-4 * float(middle.abs().max())


def test_weights_of_ones_own(network: ParseNet, parser: ParseS, tmp_path: Path) -> None:
    half = {k: v.half() for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(half, tmp_path / "own.safetensors")
    own = load_file(tmp_path / "own.safetensors", CPU)
    difference = np.abs(own.parse(crops(1), faces(1)) - parser.parse(crops(1), faces(1)))
    assert 0 < difference.max() < 0.05, "float16 rounds a little"
    del half["out.bias"]
    save_file(half, tmp_path / "cut.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing \(out.bias"):
        load_file(tmp_path / "cut.safetensors", CPU)
