"""The refiner that adds the detail of the source, and options without effect."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.pipeline.refining.results import (
    KEEP,
    measure_detail,
    read_images,
)
from thcli import media
from thcli.cli.app import run
from thcli.core.options import OutputOptions
from thcli.pipeline.backends import STAGES

Clip = Callable[..., Path]


@pytest.fixture(autouse=True)
def detail_is_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES["refiner"].defaults, "any", "detail")


def write_blurred(path: Path, clip: Path, sigma: float) -> Path:
    """Write a clip with blurred frames."""
    plan = media.WritePlan(time_base=Fraction(1, 25))
    with media.write(path, (192, 192), None, OutputOptions(codec="ffv1"), plan) as out:
        for number, image in enumerate(read_images(clip)):
            out.write(cv2.GaussianBlur(image, (0, 0), sigma), number, 1)
    return path


def test_the_detail_of_the_source_is_added(
    portrait: Path, clip: Clip, tmp_path: Path, capsys: Any
) -> None:
    true = clip("plain.mp4", 24)
    coarse = write_blurred(tmp_path / "coarse.mkv", true, 1.2)
    argv = ["refine", str(coarse), "--source", str(portrait), "--end", "0.2", *KEEP]
    for name, threads in (("one", "1"), ("two", "3")):
        out = str(tmp_path / f"{name}.mkv")
        assert run([*argv, "-o", out, "--threads", threads, "--batch-size", threads, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["engine"] == "detail"
    one, two = (read_images(tmp_path / f"{name}.mkv") for name in ("one", "two"))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    before, after, sharp = (
        measure_detail(images[2].astype(int))
        for images in (read_images(coarse), one, read_images(true))
    )
    assert after > before + 0.3 * (sharp - before)


def test_a_sharp_clip_hardly_changes(clip: Clip, tmp_path: Path) -> None:
    true, out = clip("plain.mp4", 24), tmp_path / "out.mkv"
    assert run(["refine", str(true), "-o", str(out), *KEEP]) == 0
    pairs = zip(read_images(out), read_images(true), strict=True)
    assert max(float(np.abs(a.astype(int) - b).mean()) for a, b in pairs) < 0.5


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--steps", "20"), "--steps has no effect with refiner detail"),
        (("--engine", "fadm-s", "--strength", "1"), "--strength has no effect with refiner fadm-s"),
        (("--no-detail",), "--no-detail has no effect with refiner detail"),
        (("--no-source-detail",), "leaves nothing to do"),
        (("--no-source-detail", "--engine", "resshift-s"), "corrects frames after --source-detail"),
    ],
)
def test_options_without_effect_are_refused(
    clip: Clip, tmp_path: Path, capsys: Any, flags: Sequence[str], words: str
) -> None:
    argv = ["refine", str(clip("four.mp4", 4)), "-o", str(tmp_path / "out.mp4")]
    assert run([*argv, *flags]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
