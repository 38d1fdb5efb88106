"""HuBERT: the published layout, the public implementation's numbers, long sounds in clips."""

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
from thcli.audio.hubert import BASE, CLIP, LARGE, Hubert, HubertNetwork, Size, normalisation
from thcli.audio.read import Sound
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.core.types import Array32

TINY = {stable: Size(32, 2, 4, 48, stable, front=16) for stable in (True, False)}


def filled(stable: bool) -> HubertNetwork:
    network = HubertNetwork(TINY[stable])
    return hubert.fill(network, golden.state(network.state_dict(), 0), "tiny")


def layout(size: Size) -> dict[str, tuple[int, ...]]:
    """Hugging Face's keys and shapes of HubertModel, written down a second time."""
    width, inner = size.width, size.inner
    out: dict[str, tuple[int, ...]] = {"masked_spec_embed": (width,)}
    for layer, kernel in enumerate((10, 3, 3, 3, 3, 2, 2)):
        stem = f"feature_extractor.conv_layers.{layer}"
        out[f"{stem}.conv.weight"] = (512, 512 if layer else 1, kernel)
        if size.stable:
            out[f"{stem}.conv.bias"] = (512,)
        if size.stable or layer == 0:
            out[f"{stem}.layer_norm.weight"] = out[f"{stem}.layer_norm.bias"] = (512,)
    stem = "feature_projection"
    out |= {f"{stem}.layer_norm.weight": (512,), f"{stem}.layer_norm.bias": (512,)}
    out |= {f"{stem}.projection.weight": (width, 512), f"{stem}.projection.bias": (width,)}
    stem = "encoder.pos_conv_embed.conv"
    out |= {
        f"{stem}.weight_g": (1, 1, 128),
        f"{stem}.weight_v": (width, width // 16, 128),
        f"{stem}.bias": (width,),
    }
    out |= {"encoder.layer_norm.weight": (width,), "encoder.layer_norm.bias": (width,)}
    for layer in range(size.layers):
        stem = f"encoder.layers.{layer}"
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            out |= {
                f"{stem}.attention.{name}.weight": (width, width),
                f"{stem}.attention.{name}.bias": (width,),
            }
        for name in ("layer_norm", "final_layer_norm"):
            out |= {f"{stem}.{name}.weight": (width,), f"{stem}.{name}.bias": (width,)}
        stem += ".feed_forward"
        out |= {
            f"{stem}.intermediate_dense.weight": (inner, width),
            f"{stem}.intermediate_dense.bias": (inner,),
        }
        out |= {
            f"{stem}.output_dense.weight": (width, inner),
            f"{stem}.output_dense.bias": (width,),
        }
    return out


@pytest.mark.parametrize(("size", "parameters"), [(BASE, 94_371_712), (LARGE, 315_438_720)])
def test_published_layout(size: Size, parameters: int) -> None:
    """The parameters are as many as the public implementation counts."""
    wanted = layout(size)
    assert sum(int(np.prod(shape)) for shape in wanted.values()) == parameters
    wanted.pop("masked_spec_embed")
    with torch.device("meta"):
        network = HubertNetwork(size)
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == wanted


@pytest.mark.parametrize(("name", "stable"), [("stable", True), ("plain", False)])
def test_the_public_implementation_s_numbers(name: str, stable: bool) -> None:
    wanted = np.array(json.loads((Path(__file__).parent / "hubert.json").read_text("utf-8"))[name])
    sound = torch.from_numpy(golden.normal("hubert/input-0", (1, 3000), 0))
    with torch.inference_mode():
        found = filled(stable)(sound)[0].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def dressed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As HubertForCTC saves it with a newer torch."""
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


def test_both_ways_in_which_it_is_saved() -> None:
    network = filled(True)
    again = hubert.fill(HubertNetwork(TINY[True]), dressed(network.state_dict()), "dressed")
    for key, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key


def test_another_model_is_named() -> None:
    with pytest.raises(WeightsError, match=r"hubert-large does not fit its network: .* missing"):
        hubert.fill(HubertNetwork(TINY[True]), filled(False).state_dict(), "hubert-large")


def listener() -> Hubert:
    return Hubert(filled(True), RunOptions(device="cpu"))


def as_published(network: HubertNetwork, samples: Array32) -> Array32:
    """Real3D-Portrait's preprocessing of a whole sound, step by step."""
    sound = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    parts = []
    whole = len(sound) // (320 * CLIP)
    for i in range(whole):
        parts.append(sound[320 * CLIP * i : 320 * CLIP * i + 320 * CLIP - 320 + 400])
    rest = sound[320 * CLIP * whole :]
    parts += [rest] if len(rest) >= 400 else []
    with torch.inference_mode():
        rows = [
            network(torch.from_numpy(part.astype(np.float32))[None])[0].numpy() for part in parts
        ]
    return np.concatenate(rows)[: (len(samples) - 80) // 320]


@pytest.mark.parametrize("samples", [400, 9000, 320000, 320080, 320399, 320400, 660000])
def test_long_sounds_as_published(samples: int) -> None:
    """Whatever the blocks; a sound about the length of a clip too."""
    sound = noise(samples / 16000, 0.1, seed=samples) + np.float32(0.01)
    wanted = as_published(listener().network, sound)
    assert len(wanted) == (samples - 80) // 320

    class Choppy(Sound):
        def blocks(self, seconds: float = 0.37):  # type: ignore[no-untyped-def]  # as Sound's
            return super().blocks(0.37)

    for speech in (Sound(sound, 16000), Choppy(sound, 16000)):
        found = np.concatenate(list(listener().rows(speech)))
        np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_a_blink_of_sound() -> None:
    for count in (1, 399):
        assert np.concatenate(list(listener().rows(Sound(tone(count / 16000), 16000)))).shape == (
            1,
            32,
        )


def test_loudness_does_not_matter() -> None:
    sound = noise(1.0, 0.2)
    loud, quiet = (
        np.concatenate(list(listener().rows(Sound(sound * gain, 16000))))
        for gain in (np.float32(1), np.float32(0.1))
    )
    np.testing.assert_allclose(loud, quiet, atol=1e-3)
    mean, scale = normalisation(Sound(np.zeros(1000, np.float32), 16000))
    assert mean == 0 and np.isfinite(scale)


def test_absent_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        hubert.load(RunOptions(device="cpu", offline=True))
    assert "thcli weights pull hubert-large" in caught.value.hint
