"""HuBERT: published layout, reference values, long sounds in chunks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.audio.sounds import noise, tone
from tests.golden import fill as golden
from thcli.audio import hubert
from thcli.audio.hubert import (
    BASE,
    CHUNK_ROWS,
    LARGE,
    HubertConfig,
    HubertEncoder,
    HubertNetwork,
    measure_normalisation,
)
from thcli.audio.read import Sound
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.core.types import Array32

TINY = {stable: HubertConfig(32, 2, 4, 48, stable, front=16) for stable in (True, False)}


def filled_network(stable: bool) -> HubertNetwork:
    network = HubertNetwork(TINY[stable])
    return hubert.load_checkpoint(network, golden.state(network.state_dict(), 0), "tiny")


def published_keys(config: HubertConfig) -> dict[str, tuple[int, ...]]:
    """Return the keys and shapes of Hugging Face's HubertModel, written out independently."""
    width, inner = config.width, config.inner
    shapes: dict[str, tuple[int, ...]] = {"masked_spec_embed": (width,)}
    for layer, kernel in enumerate((10, 3, 3, 3, 3, 2, 2)):
        stem = f"feature_extractor.conv_layers.{layer}"
        shapes[f"{stem}.conv.weight"] = (512, 512 if layer else 1, kernel)
        if config.stable:
            shapes[f"{stem}.conv.bias"] = (512,)
        if config.stable or layer == 0:
            shapes[f"{stem}.layer_norm.weight"] = shapes[f"{stem}.layer_norm.bias"] = (512,)
    stem = "feature_projection"
    shapes |= {f"{stem}.layer_norm.weight": (512,), f"{stem}.layer_norm.bias": (512,)}
    shapes |= {f"{stem}.projection.weight": (width, 512), f"{stem}.projection.bias": (width,)}
    stem = "encoder.pos_conv_embed.conv"
    shapes |= {
        f"{stem}.weight_g": (1, 1, 128),
        f"{stem}.weight_v": (width, width // 16, 128),
        f"{stem}.bias": (width,),
    }
    shapes |= {"encoder.layer_norm.weight": (width,), "encoder.layer_norm.bias": (width,)}
    for layer in range(config.layers):
        stem = f"encoder.layers.{layer}"
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes |= {
                f"{stem}.attention.{name}.weight": (width, width),
                f"{stem}.attention.{name}.bias": (width,),
            }
        for name in ("layer_norm", "final_layer_norm"):
            shapes |= {f"{stem}.{name}.weight": (width,), f"{stem}.{name}.bias": (width,)}
        stem += ".feed_forward"
        shapes |= {
            f"{stem}.intermediate_dense.weight": (inner, width),
            f"{stem}.intermediate_dense.bias": (inner,),
        }
        shapes |= {
            f"{stem}.output_dense.weight": (width, inner),
            f"{stem}.output_dense.bias": (width,),
        }
    return shapes


@pytest.mark.parametrize(("config", "parameters"), [(BASE, 94_371_712), (LARGE, 315_438_720)])
def test_published_layout(config: HubertConfig, parameters: int) -> None:
    """The number of parameters is that of the public implementation."""
    expected = published_keys(config)
    assert sum(int(np.prod(shape)) for shape in expected.values()) == parameters
    expected.pop("masked_spec_embed")
    with torch.device("meta"):
        network = HubertNetwork(config)
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == expected


@pytest.mark.parametrize(("name", "stable"), [("stable", True), ("plain", False)])
def test_values_of_the_public_implementation(name: str, stable: bool) -> None:
    expected = np.array(
        json.loads((Path(__file__).parent / "hubert.json").read_text("utf-8"))[name]
    )
    sound = torch.from_numpy(golden.normal("hubert/input-0", (1, 3000), 0))
    with torch.inference_mode():
        found = filled_network(stable)(sound)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def with_published_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state as HubertForCTC stores it with a newer torch."""
    new = {
        "weight_g": "parametrizations.weight.original0",
        "weight_v": "parametrizations.weight.original1",
    }
    out = {
        "hubert.masked_spec_embed": torch.zeros(32),
        "lm_head.weight": torch.zeros(32, 32),
        "lm_head.bias": torch.zeros(32),
    }
    for key, tensor in state.items():
        stem, _, leaf = key.rpartition(".")
        out[f"hubert.{stem}.{new.get(leaf, leaf)}"] = tensor
    return out


def test_both_published_key_layouts_load() -> None:
    network = filled_network(True)
    again = hubert.load_checkpoint(
        HubertNetwork(TINY[True]), with_published_keys(network.state_dict()), "dressed"
    )
    for key, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key


def test_another_model_is_reported() -> None:
    with pytest.raises(WeightsError, match=r"hubert-large does not fit its network: .* missing"):
        hubert.load_checkpoint(
            HubertNetwork(TINY[True]), filled_network(False).state_dict(), "hubert-large"
        )


def tiny_encoder() -> HubertEncoder:
    return HubertEncoder(filled_network(True), RunOptions(device="cpu"))


def encode_as_published(network: HubertNetwork, samples: Array32) -> Array32:
    """Repeat Real3D-Portrait's preprocessing of a whole sound, step by step."""
    sound = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    parts = []
    whole = len(sound) // (320 * CHUNK_ROWS)
    for i in range(whole):
        parts.append(
            sound[320 * CHUNK_ROWS * i : 320 * CHUNK_ROWS * i + 320 * CHUNK_ROWS - 320 + 400]
        )
    rest = sound[320 * CHUNK_ROWS * whole :]
    parts += [rest] if len(rest) >= 400 else []
    with torch.inference_mode():
        rows = [
            network(torch.from_numpy(part.astype(np.float32))[None])[0].numpy() for part in parts
        ]
    return np.concatenate(rows)[: (len(samples) - 80) // 320]


@pytest.mark.parametrize("samples", [400, 9000, 320000, 320080, 320399, 320400, 660000])
def test_long_sounds_equal_the_published_features(samples: int) -> None:
    """The features do not depend on the blocks; lengths near a chunk's are included."""
    sound = noise(samples / 16000, 0.1, seed=samples) + np.float32(0.01)
    expected = encode_as_published(tiny_encoder().network, sound)
    assert len(expected) == (samples - 80) // 320

    class SmallBlocks(Sound):
        def blocks(self, seconds: float = 0.37):  # type: ignore[no-untyped-def]  # as Sound's
            return super().blocks(0.37)

    for speech in (Sound(sound, 16000), SmallBlocks(sound, 16000)):
        found = np.concatenate(list(tiny_encoder().encode(speech)))
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_sounds_shorter_than_a_row() -> None:
    for count in (1, 399):
        assert np.concatenate(
            list(tiny_encoder().encode(Sound(tone(count / 16000), 16000)))
        ).shape == (
            1,
            32,
        )


def test_features_do_not_depend_on_the_level() -> None:
    sound = noise(1.0, 0.2)
    loud, quiet = (
        np.concatenate(list(tiny_encoder().encode(Sound(sound * gain, 16000))))
        for gain in (np.float32(1), np.float32(0.1))
    )
    np.testing.assert_allclose(loud, quiet, atol=1e-3)
    mean, scale = measure_normalisation(Sound(np.zeros(1000, np.float32), 16000))
    assert mean == 0 and np.isfinite(scale)


def test_absent_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        hubert.load(RunOptions(device="cpu", offline=True))
    assert "thcli weights pull hubert-large" in caught.value.hint
