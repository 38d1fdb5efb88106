"""facexlib's parsers: official layouts with random weights, class orders, and inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from thcli import weights
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.core.types import Face
from thcli.faces.adapters import facexlib_parse as fx
from thcli.faces.backends import PARSERS
from thcli.faces.parsing import CLASSES, class_number

# These import torchvision, which facexlib_parse makes importable.
from facexlib.parsing.bisenet import BiSeNet  # isort: skip
from facexlib.parsing.parsenet import ParseNet  # isort: skip

RUN = RunOptions(device="cpu", threads=1)
FACE = Face(np.array([100, 100, 400, 400], np.float32), 1.0)
SIDE = fx.SIDE


class StripeNetwork(torch.nn.Module):
    """Fake network: output n is certain in stripe n, 16 columns wide; it records its input."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen = x
        out = torch.zeros(1, 19, SIDE, SIDE)
        for k in range(19):
            out[0, k, :, 16 * k : 16 * k + 16] = 20
        return out, x


def random_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state = {
        k: torch.randn_like(v) * 0.05
        for k, v in network.state_dict().items()
        if v.dtype.is_floating_point
    }
    return {k: v.abs() + 1 if k.endswith("running_var") else v for k, v in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "entry"),
    [("facexlib", "facexlib-bisenet"), ("facexlib-parsenet", "facexlib-parsenet")],
)
def test_an_imported_file_of_the_official_layout_parses(
    name: str, entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    network = (
        BiSeNet(num_class=19)
        if name == "facexlib"
        else ParseNet(in_size=SIDE, out_size=SIDE, parsing_ch=19)
    )
    state = random_state(network)
    file = tmp_path / weights.registry()[entry].file
    torch.save(state, file)
    weights.import_file(entry, file, trust=True)
    parser = PARSERS.backend(name).load(RUN)
    assert (parser.crop_size, parser.template) == (SIDE, "ffhq")
    crops = [np.random.default_rng(i).integers(0, 256, (SIDE, SIDE, 3), np.uint8) for i in range(2)]
    if name == "facexlib":
        found = parser.parse(crops, [FACE, FACE])
        assert found.shape == (2, 19, SIDE, SIDE)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
        np.testing.assert_array_equal(parser.parse(crops[1:], [FACE])[0], found[1])
    else:  # ParseNet takes many seconds a crop, and is convolutional: a small one does
        assert parser._network(torch.zeros(1, 3, 64, 64))[0].shape == (1, 19, 64, 64)
    assert PARSERS.backend(name).weights == (entry,)
    state.pop(next(iter(state)))
    make = fx.FacexlibParser.bisenet if name == "facexlib" else fx.FacexlibParser.parsenet
    with pytest.raises(WeightsError, match="1 missing"):
        make(state, RUN)
    with pytest.raises(WeightsError, match="--licence free"):
        PARSERS.backend(name).load(RunOptions(device="cpu", licence="free"))


@pytest.mark.parametrize("order", [fx.BISENET_ORDER, fx.PARSENET_ORDER])
def test_the_outputs_become_our_classes(order: tuple[str, ...]) -> None:
    """Output n is certain in stripe n: that stripe must get the class of the network."""
    assert sorted(order) == sorted(CLASSES)
    parser = fx.FacexlibParser(StripeNetwork(), order, fx._SYMMETRIC, torch.device("cpu"))
    labels = parser.parse([np.zeros((SIDE, SIDE, 3), np.uint8)], [FACE])[0].argmax(0)
    for k, name in enumerate(order):
        assert (labels[:, 16 * k : 16 * k + 16] == class_number(name)).all(), name


def test_the_published_numbers_of_the_two_orders() -> None:
    """As in the library's examples: 17 is BiSeNet's hair and ParseNet's neck."""
    assert (
        fx.BISENET_ORDER[17],
        fx.BISENET_ORDER[13],
        fx.BISENET_ORDER[2],
        fx.BISENET_ORDER[10],
    ) == ("hair", "l_lip", "l_brow", "nose")
    assert (
        fx.PARSENET_ORDER[17],
        fx.PARSENET_ORDER[13],
        fx.PARSENET_ORDER[2],
        fx.PARSENET_ORDER[18],
    ) == ("neck", "hair", "nose", "cloth")


@pytest.mark.parametrize("levels", [fx._SYMMETRIC, fx._IMAGENET])
def test_pixels_are_normalized_as_in_training(levels: fx.Normalization) -> None:
    network = StripeNetwork()
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[0, 0] = (255, 51, 0)  # red, green, blue
    fx.FacexlibParser(network, fx.BISENET_ORDER, levels, torch.device("cpu")).parse([image], [FACE])
    expected = (np.array([1.0, 0.2, 0.0]) - levels[0]) / levels[1]
    np.testing.assert_allclose(network.seen[0, :, 0, 0].numpy(), expected, atol=1e-6)
