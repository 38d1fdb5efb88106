"""`inspect`: what the verbs leave in their outputs is read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thcli
from tests.pipeline.conftest import Clip
from thcli.cli.app import run
from thcli.core.errors import MediaError, UsageError
from thcli.core.options import ProvenanceOptions, ReenactOptions
from thcli.core.types import Image

ALL = ["--label", "--watermark", "--consent", "A. Smith, 2026-11-21"]


def test_marks_of_a_reenactment(
    portrait: Path, clip: Clip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.mp4"
    drive = clip("inspect-5.mp4", 5)
    assert run(["reenact", str(portrait), str(drive), "-o", str(path), "--quiet", *ALL]) == 0
    found = thcli.inspect(path)
    assert found.synthetic and found.label
    assert found.watermark.found and found.watermark_command == "reenact"
    assert found.note["consent"] == ["A. Smith, 2026-11-21"]
    assert found.note["licences"]["facemesh-attention"] == "Apache-2.0"
    capsys.readouterr()
    assert run(["inspect", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["watermark"]["made_by"] == "reenact" and report["label"] is True
    assert run(["inspect", str(path)]) == 0
    rows = dict(line.split("\t")[:2] for line in capsys.readouterr().out.splitlines())
    assert rows["synthetic"] == rows["label"] == "yes"
    assert rows["consent"] == "A. Smith, 2026-11-21"


def test_the_default_changes_no_pixel_and_says_so(
    portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    path = tmp_path / "out.mp4"
    thcli.reenact(portrait, clip("inspect-2.mp4", 2), path)
    found = thcli.inspect(path)
    assert found.synthetic and found.label is False and not found.watermark.found
    assert found.note["consent"] == []


def test_a_file_of_unknown_origin(clip: Clip, tmp_path: Path, empty_wall: Image) -> None:
    found = thcli.inspect(clip("inspect-3.mp4", 3))
    assert found.synthetic is None and found.label is None and not found.note
    assert found.as_json()["watermark"] == {
        "found": False,
        "score": pytest.approx(found.watermark.score, abs=0.06),
        "made_by": "",
        "cropped": [0.0, 0.0],
    }
    thcli.write_frames(tmp_path / "images/", [empty_wall, empty_wall])
    assert thcli.inspect(tmp_path / "images").comment == ""


def test_a_file_without_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(MediaError):
        thcli.inspect(tmp_path / "a.wav")


def test_arrays_get_the_marks_too(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    drive = clip("inspect-2.mp4", 2)
    marked = ReenactOptions(provenance=ProvenanceOptions(watermark=True))
    frames: list[list[Any]] = [
        [
            frame.pixels.astype(int)
            for frame in thcli.iterate(thcli.reenact, portrait, drive, options=o)
        ]
        for o in (ReenactOptions(), marked)
    ]
    changes = [np.abs(one - other).max() for one, other in zip(*frames, strict=True)]
    assert all(0 < change <= 4 for change in changes)


@pytest.mark.parametrize("name", ["out.mkv", "-"])
def test_a_signature_needs_a_container_for_it(
    portrait: Path, clip: Clip, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thcli.pipeline.check_options.load_signer", lambda options: None)
    options = ReenactOptions(
        provenance=ProvenanceOptions(c2pa=tmp_path / "a.pem", c2pa_key=tmp_path / "b.pem")
    )
    with pytest.raises(UsageError, match="--c2pa has no effect"):
        thcli.reenact(portrait, clip("inspect-2.mp4", 2), name, options)
