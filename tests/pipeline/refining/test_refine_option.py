"""`--refine` of `reenact` and `speak`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from tests.pipeline.fake_refiners import RedRefiner
from tests.pipeline.refining.results import (
    KEEP,
    added_red,
    install_fakes,
    read_images,
)
from thcli import media
from thcli.cli.app import run
from thcli.engines.backends import ENGINES
from thcli.voices.backends import VOICES
from thcli.weights.backend import Backend

Clip = Callable[..., Path]


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    install_fakes(monkeypatch)


def test_reenact_refines_its_frames(
    portrait: Path, clip: Clip, tmp_path: Path, capsys: Any
) -> None:
    """The result is nearly that of refining the coarse video afterwards.

    There the faces are detected, here the engine places them.
    """
    argv = to_argv("reenact", portrait, clip("plain.mp4", 24), "--end 0.24 --codec ffv1")
    coarse, one, two = (tmp_path / name for name in ("coarse.mkv", "one.mkv", "two.mkv"))
    assert run([*argv, "-o", str(coarse), "-q"]) == 0
    assert run([*argv, "-o", str(one), "--refine", "blush", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["engine"], report["refiner"], report["frames"], report["warnings"]) == (
        "mesh",
        "blush",
        6,
        [],
    )
    assert RedRefiner.reference_crops and RedRefiner.source_is_reference
    assert any(
        "engine mesh, refined by blush" in words for words in media.probe(one).metadata.values()
    )
    again = ["refine", str(coarse), "-o", str(two), "--source", str(portrait), *KEEP]
    assert run([*again, "--engine", "blush"]) == 0
    for a, b in zip(read_images(one), read_images(two), strict=True):
        assert np.abs(a.astype(int) - b).mean() < 1
    red = read_images(one)[3][..., 0].astype(int) - read_images(coarse)[3][..., 0]
    assert np.median(red[80:140, 100:150]) > 15


def test_reenact_with_a_missing_refiner(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    argv = ["reenact", str(portrait), str(clip("four.mp4", 4)), "-o", str(tmp_path / "out.mp4")]
    assert run([*argv, "--refine", "fadm"]) == 5
    assert run([*argv, "--refine", "nobody"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_speak_refines_its_frames(
    portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jaw = Backend("tests.pipeline.fake_voices:jaw", "a stand-in", reads=VOICES.rows["a2m"].reads)
    monkeypatch.setitem(VOICES.rows, "jaw", jaw)
    sound, out, plain = tmp_path / "a.wav", tmp_path / "out.mkv", tmp_path / "plain.mkv"
    with av.open(str(sound), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            (np.sin(np.arange(4000) * 0.2) * 9000).astype(np.int16)[None], "s16", "mono"
        )
        frame.sample_rate, frame.pts = 16000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    argv = ["speak", str(portrait), str(sound), "--voice", "jaw", *KEEP]
    assert run([*argv, "-o", str(plain)]) == 0
    assert run([*argv, "-o", str(out), "--refine", "blush"]) == 0
    assert np.median(added_red(out, plain)[2][80:120, 100:150]) > 15


def test_a_reenacted_video_is_refined(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The identity is of the first rendered frame: a source video has no source image."""
    monkeypatch.setitem(
        ENGINES.rows, "shade", Backend("tests.pipeline.test_reenact_video:load", "a stand-in")
    )
    argv = to_argv("reenact", clip("plain.mp4", 24), clip("four.mp4", 4), "--engine shade", *KEEP)
    out, plain = tmp_path / "out.mkv", tmp_path / "plain.mkv"
    assert run([*argv, "-o", str(plain)]) == 0
    assert run([*argv, "-o", str(out), "--refine", "blush"]) == 0
    reds = added_red(out, plain)
    assert len(reds) == 4 and min(np.median(red[60:110, 80:110]) for red in reds) > 15
