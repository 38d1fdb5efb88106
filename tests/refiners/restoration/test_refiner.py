"""Restoration refiners: checkpoints as published, the limit of the change, absent weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.refiners.restoration.networks import NARROW_RESTOREFORMER, published_key
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.core.types import Image
from thcli.refiners.backends import REFINERS
from thcli.refiners.restoration.autoencoder import AutoencoderShape, Codebook
from thcli.refiners.restoration.gfpgan import STYLE, ModulatedConv
from thcli.refiners.restoration.refiner import RESTORERS, check_layout, keep_face
from thcli.refiners.restoration.restoreformer import (
    RestoreFormer,
    RestoreFormerShape,
    flat_keys,
)
from thcli.weights.layout import Checkpoint
from thcli.weights.registry import registry

SIDE = 128


def face() -> Image:
    """Return a crop with broad light and structure of a few pixels."""
    rng = np.random.default_rng(3)
    large = cv2.resize(rng.uniform(60, 200, (4, 4, 3)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    small = cv2.GaussianBlur(rng.normal(0, 60, (SIDE, SIDE)), (0, 0), 2.0)
    return np.asarray(np.clip(large + 4 * small[..., None], 0, 255), np.uint8)


@pytest.mark.parametrize("size", [1e-5, 1.0, 3e3])
def test_modulation_in_half_precision_is_normalised(size: float) -> None:
    torch.manual_seed(0)
    convolution = ModulatedConv(8, 4, 3, normalised=True)
    nn.init.zeros_(convolution.modulation.weight)
    with torch.inference_mode():
        convolution.modulation.bias.copy_(size * torch.randn(8))
        inputs = torch.randn(1, 8, 6, 6), torch.zeros(1, STYLE)
        exact = convolution(*inputs)
        with torch.autocast("cpu", torch.float16):
            found = convolution(*inputs)
    torch.testing.assert_close(found, exact, atol=2e-2 * float(exact.abs().max()), rtol=0)


def test_codes_are_chosen_in_full_precision() -> None:
    """Half precision would take the first of two codes whose products round to one number."""
    book = Codebook(AutoencoderShape(code=2, codes=2))
    with torch.inference_mode():
        book.embedding.weight.copy_(torch.tensor([[100.0, 100.0], [100.2, 99.8]]))
        codes = book.embedding.weight[1].reshape(1, 2, 1, 1)
        with torch.autocast("cpu", torch.float16):
            assert torch.equal(book.nearest(codes), codes)


def test_fidelity_of_zero_shows_the_restored_crop() -> None:
    coarse = face()
    restored = 255 - coarse.astype(np.float32)
    assert np.abs(keep_face(coarse, restored, 0.0).astype(int) - restored).max() <= 1


def test_fidelity_keeps_the_light_of_the_frame() -> None:
    coarse = face()
    brighter = np.clip(coarse.astype(np.float32) + 20, 0, 255)
    changes = [
        float(np.abs(keep_face(coarse, brighter, f) - coarse.astype(np.float32)).mean())
        for f in (0.0, 0.5, 1.0)
    ]
    assert changes[0] > 18 and 8 < changes[1] < 11 and changes[2] < 1


def test_fidelity_keeps_features_that_the_frame_does_not_have() -> None:
    """The other half's structure is another one; there the frame stays."""
    coarse = face()
    other = coarse.astype(np.float32).copy()
    other[:, SIDE // 2 :] = other[::-1, SIDE // 2 :]
    change = np.abs(keep_face(coarse, other, 1.0) - coarse.astype(np.float32))
    assert np.abs(other - coarse)[:, SIDE // 2 + 16 :].mean() > 20
    assert change[:, SIDE // 2 + 16 :].mean() < 5


def state(network: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in network.state_dict().items()}


@pytest.mark.parametrize("prefix", ["params_ema.", "params.", ""])
@pytest.mark.parametrize("name", ["gfpgan", "codeformer"])
def test_layouts_as_published_are_accepted(name: str, prefix: str) -> None:
    with torch.device("meta"):
        tensors = state(RESTORERS[name].build(), prefix)
        check_layout(Checkpoint(registry()[name], {name: Path(name)}, {"": tensors}))


@pytest.mark.parametrize("prefix", ["params.", "state_dict.vqvae."])
def test_restoreformers_layouts_are_accepted(prefix: str) -> None:
    """Those of the authors' training hold losses too."""
    with torch.device("meta"):
        own = RestoreFormer().state_dict()
        shape = RestoreFormerShape()
        tensors = {f"{prefix}{published_key(key, shape)}": value for key, value in own.items()}
        tensors |= {"state_dict.loss.logvar": torch.zeros(1)} if "vqvae" in prefix else {}
        entry = registry()["restoreformer"]
        check_layout(Checkpoint(entry, {"r": Path("r")}, {"": tensors}))


def test_other_networks_are_refused() -> None:
    with torch.device("meta"):
        tensors = state(RESTORERS["codeformer"].build(), "params_ema.")
        checkpoint = Checkpoint(registry()["gfpgan"], {"g": Path("g")}, {"": tensors})
        with pytest.raises(WeightsError, match=r"gfpgan .* does not fit its network"):
            check_layout(checkpoint)


def test_published_names_of_restoreformer_are_those_of_its_levels() -> None:
    shape = NARROW_RESTOREFORMER
    keys = [published_key(key, shape) for key in RestoreFormer(shape).state_dict()]
    assert {
        "encoder.conv_in.weight",
        "encoder.down.0.downsample.conv.weight",
        "encoder.down.1.block.0.nin_shortcut.bias",
        "encoder.down.1.attn.1.norm2.weight",
        "decoder.mid.attn_1.q.weight",
        "decoder.up.1.block.2.conv2.bias",
        "decoder.up.1.upsample.conv.weight",
        "decoder.conv_out.weight",
        "quantize.embedding.weight",
    } <= set(keys)
    unnamed = {key: torch.zeros(1) for key in keys}
    assert set(flat_keys(unnamed, shape.autoencoder)) == set(RestoreFormer(shape).state_dict())


@pytest.mark.parametrize("name", sorted(RESTORERS))
def test_absent_weights_are_named_with_their_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(WeightsError) as caught:
        REFINERS.backend(name).load(RunOptions(offline=True))
    assert caught.value.exit_code == 5
    assert f"thcli weights pull {name}" in caught.value.hint
