"""Published checkpoints as voices: layouts, speech encoder, rejected files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from thcli.core.errors import UsageError, WeightsError
from thcli.core.options import DiffusionVoiceOptions, RunOptions, VoiceOptions
from thcli.core.protocols import RenderingVoice
from thcli.core.types import Array32
from thcli.voices.backends import VOICES
from thcli.voices.diffused_heads.network import OFFICIAL, DiffusedHeads, DiffusedHeadsConfig
from thcli.voices.diffused_heads.published import (
    PublishedVoice,
    build_unet,
    infer_config,
    motion_inputs,
)
from thcli.voices.diffused_heads.speech_encoder import (
    EMBEDDING_WIDTH,
    HOP,
    WINDOW,
    SpeechEncoder,
    WindowEncoder,
    build_speech_encoder,
)

SLIM = replace(OFFICIAL, base_channels=64, size=32)


class Tone:
    """Sound of a given number of samples, in blocks of any length."""

    rate = 16000

    def __init__(self, length: int, block: int = 5000) -> None:
        self.length, self._block = length, block
        self._samples = np.sin(np.arange(length) / 9).astype(np.float32)

    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]:
        for begin in range(0, self.length, self._block):
            yield self._samples[begin : begin + self._block]


def random_encoder() -> SpeechEncoder:
    torch.manual_seed(0)
    return SpeechEncoder().eval()


def test_the_encoder_has_the_public_sizes() -> None:
    """SDA family at 0.2 s, 5 ms and 1 ms: strides 16, 2, 2, 2, 5 and 5 steps in the last layer."""
    shapes = [
        tuple(value.shape)
        for key, value in WindowEncoder().state_dict().items()
        if key.startswith("cl.") and value.dim() == 3
    ]
    assert shapes == [
        (16, 1, 80),
        (32, 16, 4),
        (64, 32, 4),
        (128, 64, 4),
        (256, 128, 10),
        (EMBEDDING_WIDTH, 256, 5),
    ]


@pytest.mark.parametrize("block", [700, 16000, 99999])
def test_rows_do_not_depend_on_blocks(block: int) -> None:
    """Compare with windows cut by hand, with the state carried from window to window.

    The sound is padded with 1280 samples; windows have 3200 samples every 640.
    """
    net, sound = random_encoder(), Tone(16000)
    padded = np.concatenate(
        [np.zeros(1280, np.float32), sound._samples, np.zeros(1920, np.float32)]
    )
    state, expected = torch.zeros(2, 1, EMBEDDING_WIDTH), []
    with torch.inference_mode():
        for i in range(25):
            embedding, state = net(
                torch.from_numpy(padded[i * HOP : i * HOP + WINDOW])[None], state
            )
            expected.append(embedding[0])
    rows = np.concatenate(list(net.encode_speech(Tone(16000, block))))
    np.testing.assert_allclose(rows[:25], torch.stack(expected).numpy(), atol=1e-5)


def test_the_configuration_is_inferred_from_a_checkpoint() -> None:
    """Grey motion frames, attention in the middle alone, and the doubled names of training."""
    grey = replace(SLIM, motion_channels=1, attention_factors=())
    tensors = DiffusedHeads(grey).state_dict()
    assert infer_config(tensors) == replace(OFFICIAL, motion_channels=1, attention_factors=())
    doubled = {f"unet.{k}": v for k, v in tensors.items()} | {
        f"diffusion.nn_backbone.{k}": v for k, v in tensors.items()
    }
    found = build_unet(doubled, "x")
    assert found.config == replace(
        OFFICIAL, motion_channels=1, attention_factors=(), base_channels=64
    )
    assert torch.equal(found.state_dict()["out.2.weight"], tensors["out.2.weight"])


def test_other_layouts_are_reported() -> None:
    with pytest.raises(WeightsError, match="holds no U-Net"):
        build_unet({"a.weight": torch.zeros(1)}, "x")
    with pytest.raises(WeightsError, match="unknown layout"):
        build_speech_encoder({"conv.weight": torch.zeros(1)}, "x")
    inside = {f"net.{k}": v for k, v in random_encoder().state_dict().items()}
    assert len(build_speech_encoder(inside, "x").state_dict()) == len(inside)
    inside.pop("net.encoder.cl.0.weight")
    with pytest.raises(WeightsError, match=r"encoder\.cl\.0\.weight"):
        build_speech_encoder(inside, "x")


@pytest.mark.parametrize(
    ("channels", "options", "inputs"),
    [
        (12, {}, (2, 3)),
        (12, {"grey": True}, (6, 1)),
        (12, {"motion_frames": 6}, (6, 1)),
        (12, {"motion_frames": 2}, (2, 3)),
        (8, {}, (2, 1)),
        (8, {"motion_frames": 2, "grey": True}, (2, 1)),
        (10, {}, (4, 1)),
        (15, {}, (3, 3)),
    ],
)
def test_motion_frames_are_inferred_or_given(
    channels: int, options: dict[str, Any], inputs: tuple[int, int]
) -> None:
    """Six channels of motion are two frames in colour or six grey ones."""
    config = infer_config({"input_blocks.0.0.weight": torch.zeros(4, channels, 3, 3)})
    assert motion_inputs(config, DiffusionVoiceOptions(**options)) == inputs
    with pytest.raises(UsageError, match="--motion-frames 5"):
        motion_inputs(config, DiffusionVoiceOptions(motion_frames=5))


@pytest.mark.parametrize("name", ["diffused-heads", "diffused-heads-lrw"])
def test_missing_weights_name_the_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        VOICES.backend(name).load(RunOptions(offline=True))
    assert "thcli weights" in str(caught.value) and caught.value.exit_code == 5
    with pytest.raises(WeightsError, match="--licence free"):
        VOICES.backend(name).load(RunOptions(licence="free"))


@pytest.mark.slow
def test_each_time_stamp_gets_an_image() -> None:
    config = DiffusedHeadsConfig(
        size=32,
        base_channels=32,
        channel_multipliers=(1, 2),
        blocks_per_level=1,
        attention_factors=(2,),
        head_channels=16,
    )
    voice = PublishedVoice(
        DiffusedHeads(config).eval(), random_encoder(), RunOptions(device="cpu", seed=3), steps=12
    )
    assert isinstance(voice, RenderingVoice)
    portrait = np.full((32, 32, 3), 90, np.uint8)

    def render(pts: list[int], base: Fraction, **chosen: Any) -> list[Array32]:
        stamps = np.array(pts, np.int64)
        options = VoiceOptions(diffusion=DiffusionVoiceOptions(**chosen))
        return [
            np.asarray(p, np.float32)
            for p in voice.render_frames(portrait, Tone(16000), stamps, base, options)
        ]

    first, again = render([0, 1, 2], Fraction(1, 25)), render([0, 40, 80], Fraction(1, 1000))
    assert len(first) == 3 and first[0].shape == (32, 32, 3)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    (fewer,), (other,) = (
        render([0], Fraction(1, 25), **chosen) for chosen in ({"steps": 8}, {"sampler": "ddim"})
    )
    assert not np.array_equal(fewer, first[0]) and not np.array_equal(other, first[0])
