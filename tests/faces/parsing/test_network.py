"""parse-s: the network, the contract of its backend, and its bundled weights on a photograph."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from safetensors.torch import save_file

from thcli import weights
from thcli.core.errors import WeightsError
from thcli.core.geometry import bounding_box
from thcli.core.onnx.graphs import GraphNetwork
from thcli.core.options import RunOptions
from thcli.core.types import Array, Crop, Face, Image
from thcli.faces.backends import PARSERS
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, transform_face
from thcli.faces.parsing import CLASSES, FACE, class_number, graph
from thcli.faces.parsing.graph import SIDE, PictureParser
from thcli.faces.parsing.network import STRIDE, ParseNet, fold_batch_norm
from thcli.faces.parsing.small import ParseS, load, load_file

CPU = RunOptions(device="cpu")


@pytest.fixture(scope="module")
def network() -> ParseNet:
    """Return a random network with the statistics of a trained one."""
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


def test_folding_keeps_the_result(network: ParseNet) -> None:
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        plain, quick = network(image), fold_batch_norm(copy.deepcopy(network))(image)
    assert float((plain - quick).abs().max()) <= 1e-4 * float(plain.abs().max())


def test_narrow_divides_the_widths() -> None:
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


def test_pictures_are_parsed_alike_without_torch(network: ParseNet, parser: ParseS) -> None:
    weights = {key: value.numpy() for key, value in network.state_dict().items()}
    drawn = PictureParser(GraphNetwork(graph.build_graph(weights, "mine"), "mine"))
    assert (drawn.crop_size, drawn.template) == (parser.crop_size, parser.template)
    expected = parser.parse(crops(2), faces(2))
    assert np.ptp(expected) > 0.04
    np.testing.assert_allclose(drawn.parse(crops(2), faces(2)), expected, rtol=0, atol=1e-4)
    assert drawn.parse([], []).shape == (0, len(CLASSES), SIDE, SIDE)


@pytest.mark.parametrize(
    ("change", "what"),
    [({"gate.bias": None}, "it has no gate.bias"), ({"more": np.zeros(1)}, "it has more, too")],
)
def test_a_graph_refuses_weights_of_another_network(
    network: ParseNet, change: dict[str, Array | None], what: str
) -> None:
    given = {key: value.numpy() for key, value in network.state_dict().items()} | change
    weights = {key: value for key, value in given.items() if value is not None}
    with pytest.raises(WeightsError, match=f"mine does not fit its network: {what}"):
        graph.build_graph(weights, "mine")


def test_a_graph_of_the_bundled_weights_is_for_research_only(shipped: ParseS) -> None:
    crop, face = photograph()
    found = graph.load(CPU).parse([crop], [face])
    np.testing.assert_allclose(found, shipped.parse([crop], [face]), rtol=0, atol=1e-4)
    with pytest.raises(WeightsError):
        graph.load(RunOptions(licence="free"))


def test_an_empty_batch_is_empty(parser: ParseS) -> None:
    assert parser.parse([], []).shape == (0, 19, 256, 256)
    assert [m.shape[0] for m in parser.features([])] == [0] * 5


def test_features_have_five_depths_and_follow_the_crop(parser: ParseS) -> None:
    seen = crops(2)
    maps = parser.features(seen)
    assert [m.shape for m in maps] == [
        (2, 16, 128, 128),
        (2, 32, 64, 64),
        (2, 64, 32, 32),
        (2, 128, 16, 16),
        (2, 160, 8, 8),
    ]
    assert all(m.dtype == np.float32 and m.min() >= 0 for m in maps)
    for one, both in zip(parser.features(seen[1:]), maps, strict=True):
        np.testing.assert_array_equal(one[0], both[1])
    assert any(np.abs(m[0] - m[1]).max() > 0 for m in maps)


def test_the_network_is_shift_equivariant_by_its_stride(network: ParseNet) -> None:
    """Far from the border, and without the gate, which reads the whole image."""
    net = copy.deepcopy(network)
    torch.nn.init.zeros_(net.gate.weight)
    wide = torch.rand(1, 3, 512, 576)
    with torch.no_grad():
        a, b = net(wide[..., :512]), net(wide[..., 32:544])
    margin = 96
    middle, moved = (
        a[..., margin:-margin, margin + 16 : -margin],
        b[..., margin:-margin, margin : -margin - 16],
    )
    assert float((middle - moved).abs().max()) < 1e-4 * float(middle.abs().max())


def test_other_weights(network: ParseNet, parser: ParseS, tmp_path: Path) -> None:
    half = {
        k: v.half()
        for k, v in network.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    save_file(half, tmp_path / "own.safetensors")
    own = load_file(tmp_path / "own.safetensors", CPU)
    difference = np.abs(own.parse(crops(1), faces(1)) - parser.parse(crops(1), faces(1)))
    assert 0 < difference.max() < 0.05, "float16 rounds a little"
    del half["out.bias"]
    save_file(half, tmp_path / "cut.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing \(out.bias"):
        load_file(tmp_path / "cut.safetensors", CPU)


# --- the bundled weights ---


@pytest.fixture(scope="module")
def shipped() -> ParseS:
    return load(CPU)


def photograph(turn: float = 0.0) -> tuple[Image, Face]:
    """Return scikit-image's astronaut in the parser's crop, and the face in its pixels.

    turn: rotation about the middle, in radians.
    """
    image = np.asarray(skimage.data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]
    with np.load(Path(__file__).parents[2] / "engines" / "mesh" / "astronaut.npz") as known:
        mesh = np.asarray(known["mesh"], np.float32)
    c, s, middle = np.cos(turn), np.sin(turn), (SIDE - 1) / 2
    about = np.array(
        [
            [c, -s, middle - c * middle + s * middle],
            [s, c, middle - s * middle - c * middle],
            [0, 0, 1],
        ]
    )
    placement = align.ffhq(mesh, SIDE)
    placement = Crop(about @ placement.crop_from_frame, placement.size)
    return np.asarray(crop(image, placement), np.uint8), transform_face(
        Face(bounding_box(mesh), 1.0, mesh=mesh), placement.crop_from_frame
    )


# Regions between two points of the mesh; l_ and r_ are the subject's own.
PLACES = {
    (362, 263): "l_eye",
    (133, 33): "r_eye",
    (334, 282): "l_brow",
    (105, 52): "r_brow",
    (14, 17): "l_lip",
    (0, 13): "u_lip",
    (1, 4): "nose",
    (50, 205): "skin",
    (280, 425): "skin",
}


@pytest.mark.parametrize("turn", [0.0, 0.5, -0.6])
def test_regions_are_where_the_points_are(shipped: ParseS, turn: float) -> None:
    image, face = photograph(turn)
    labels = shipped.parse([image], [face])[0].argmax(0)
    assert face.mesh is not None
    for points, name in PLACES.items():
        x, y = (round(float(v)) for v in face.mesh[list(points), :2].mean(0))
        around = labels[y - 1 : y + 2, x - 1 : x + 2]
        assert (around == class_number(name)).mean() > 0.5, (name, around)
    assert 0.1 < (labels == 13).mean() < 0.5 and 0.15 < np.isin(labels, sorted(FACE)).mean() < 0.5


def test_an_object_before_the_face_is_background(shipped: ParseS) -> None:
    image, face = photograph()
    held = image.copy()
    board = np.zeros((SIDE, SIDE), bool)
    board[150:215, 60:200] = True
    held[board] = (40, 90, 60)
    labels = shipped.parse([held], [face])[0].argmax(0)
    assert np.isin(labels[board], [0, 18]).mean() > 0.8, "taken for a thing, not for a face"
    assert np.isin(labels[~board], sorted(FACE)).mean() > 0.1


def test_research_only(shipped: ParseS) -> None:
    entry = weights.registry()["parse-s"]
    assert not entry.commercial and entry.size < 16 << 20 and entry.trained_on and entry.figures
    with pytest.raises(WeightsError, match="--licence free"):
        load(RunOptions(device="cpu", licence="free"))
    assert PARSERS.defaults == {"any": "parse-s", "free": "mesh-parse"}
