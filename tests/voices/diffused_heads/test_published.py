"""The published checkpoints as voices: their layouts, their speech encoder, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import PictureVoice
from thcli.core.types import Array32
from thcli.voices.backends import VOICES
from thcli.voices.diffused_heads.network import OFFICIAL, DiffusedHeads, Shape
from thcli.voices.diffused_heads.published import Published, shape_of, unet
from thcli.voices.diffused_heads.speech_encoder import (
    HEARD,
    HOP,
    WINDOW,
    SpeechEncoder,
    Windows,
    filled,
)

SLIM = replace(OFFICIAL, width=64, size=32)


class Tone:
    """A sound of so many samples, in blocks of any length."""

    rate = 16000

    def __init__(self, length: int, block: int = 5000) -> None:
        self.length, self._block = length, block
        self._samples = np.sin(np.arange(length) / 9).astype(np.float32)

    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]:
        for begin in range(0, self.length, self._block):
            yield self._samples[begin : begin + self._block]


def encoder() -> SpeechEncoder:
    torch.manual_seed(0)
    return SpeechEncoder().eval()


def test_the_encoder_has_the_public_sizes() -> None:
    """Of the SDA family at 0.2 s, 5 ms and 1 ms: strides 16, 2, 2, 2, 5, and 5 steps left for the last layer."""
    shapes = [
        tuple(value.shape)
        for key, value in Windows().state_dict().items()
        if key.startswith("cl.") and value.dim() == 3
    ]
    assert shapes == [
        (16, 1, 80),
        (32, 16, 4),
        (64, 32, 4),
        (128, 64, 4),
        (256, 128, 10),
        (HEARD, 256, 5),
    ]


@pytest.mark.parametrize("block", [700, 16000, 99999])
def test_rows_do_not_depend_on_blocks(block: int) -> None:
    """Also against windows cut by hand: 1280 samples of silence before, then 3200 every 640, the memory carried along."""
    net, sound = encoder(), Tone(16000)
    padded = np.concatenate(
        [np.zeros(1280, np.float32), sound._samples, np.zeros(1920, np.float32)]
    )
    memory, wanted = torch.zeros(2, 1, HEARD), []
    with torch.inference_mode():
        for i in range(25):
            found, memory = net(torch.from_numpy(padded[i * HOP : i * HOP + WINDOW])[None], memory)
            wanted.append(found[0])
    rows = np.concatenate(list(net.rows(Tone(16000, block))))
    np.testing.assert_allclose(rows[:25], torch.stack(wanted).numpy(), atol=1e-5)


def test_checkpoints_tell_what_they_are() -> None:
    """Grey motion frames, attention in the middle alone, and the double names of the training program."""
    grey = replace(SLIM, motion=1, attention=())
    tensors = DiffusedHeads(grey).state_dict()
    assert shape_of(tensors) == replace(OFFICIAL, motion=1, attention=())
    doubled = {f"unet.{k}": v for k, v in tensors.items()} | {
        f"diffusion.nn_backbone.{k}": v for k, v in tensors.items()
    }
    found = unet(doubled, "x")
    assert found.shape == replace(OFFICIAL, motion=1, attention=(), width=64)
    assert torch.equal(found.state_dict()["out.2.weight"], tensors["out.2.weight"])


def test_other_layouts_are_named() -> None:
    with pytest.raises(WeightsError, match="holds no U-Net"):
        unet({"a.weight": torch.zeros(1)}, "x")
    with pytest.raises(WeightsError, match="layout that is not known"):
        filled({"conv.weight": torch.zeros(1)}, "x")
    inside = {f"net.{k}": v for k, v in encoder().state_dict().items()}
    assert len(filled(inside, "x").state_dict()) == len(inside)
    inside.pop("net.encoder.cl.0.weight")
    with pytest.raises(WeightsError, match=r"encoder\.cl\.0\.weight"):
        filled(inside, "x")


@pytest.mark.parametrize("name", ["diffused-heads", "diffused-heads-lrw"])
def test_without_its_weights_a_voice_says_how_to_get_them(name: str, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]  # pytest's
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        VOICES.backend(name).load(RunOptions(offline=True))
    assert "thcli weights" in str(caught.value) and caught.value.exit_code == 5
    with pytest.raises(WeightsError, match="--licence free"):
        VOICES.backend(name).load(RunOptions(licence="free"))


@pytest.mark.slow
def test_it_makes_a_picture_for_each_time_stamp() -> None:
    shape = Shape(size=32, width=32, times=(1, 2), blocks=1, attention=(2,), head=16)
    voice = Published(
        DiffusedHeads(shape).eval(), encoder(), RunOptions(device="cpu", seed=3), steps=30
    )
    assert isinstance(voice, PictureVoice)
    portrait = np.full((32, 32, 3), 90, np.uint8)

    def made(pts: list[int], base: Fraction) -> list[Array32]:
        stamps = np.array(pts, np.int64)
        return [
            np.asarray(p, np.float32)
            for p in voice.pictures(portrait, Tone(16000), stamps, base, VoiceOptions())
        ]

    first, again = made([0, 1, 2], Fraction(1, 25)), made([0, 40, 80], Fraction(1, 1000))
    assert len(first) == 3 and first[0].shape == (32, 32, 3)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
