"""Two people in composed clips: --face with an image, track numbers over cuts, CSIM.

Real faces and bundled weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from thcli import media
from thcli.cli.app import run
from thcli.core.imaging import to_uint8
from thcli.core.options import OutputOptions
from thcli.core.types import Image
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.pipeline.observe.crop_track import CropTrack

SIDE = 256
RunJson = Callable[..., dict[str, Any]]


@pytest.fixture
def run_json(capsys: pytest.CaptureFixture[str]) -> RunJson:
    """Run a command and return its --json report."""

    def ask(*words: str | Path) -> dict[str, Any]:
        assert run([*map(str, words), "--threads", "1", "--device", "cpu", "--json"]) == 0, (
            capsys.readouterr().err
        )
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return ask


@pytest.fixture(scope="module")
def people(shared: Path) -> dict[str, list[Image]]:
    """Read fourteen frames of two clips each, at SIDE."""
    out = {}
    for name in ("d0", "talk_may_5s"):
        with media.read(shared / "media" / f"{name}.mp4") as frames:
            shown = [to_uint8(frame.pixels) for frame in islice(frames, 0, 56, 4)]
        out[name] = [
            np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
            for image in shown
        ]
    return out


def write_clip(path: Path, images: list[Image]) -> Path:
    height, width = images[0].shape[:2]
    options = OutputOptions(crf=12)
    with media.write(
        path,
        (width, height),
        None,
        options,
        media.WritePlan(time_base=Fraction(1, 25), rate=Fraction(25)),
    ) as clip:
        for index, image in enumerate(images):
            clip.write(image, index, 1)
    return path


def zoom_in(image: Image) -> Image:
    """Return another shot of the same scene: closer, and shifted to the side."""
    placement = np.array([[1.3, 0, -75], [0, 1.3, -40]])
    return np.asarray(
        cv2.warpAffine(image, placement, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def test_one_person_has_one_number_over_cuts(
    people: dict[str, list[Image]], tmp_path: Path, run_json: RunJson
) -> None:
    """Shot, reverse shot, and the first person again from closer."""
    one, two = people["d0"], people["talk_may_5s"]
    clip = write_clip(
        tmp_path / "cuts.mp4", [*one[:5], *two[:5], *[zoom_in(p) for p in one[7:12]], *two[7:12]]
    )
    lines = tmp_path / "tracks.jsonl"
    found = run_json("track", clip, "-o", lines)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["faces"][0]["track"] for row in rows] == [0] * 5 + [1] * 5 + [0] * 5 + [1] * 5
    assert found["faces"] == 2


@pytest.mark.parametrize(("name", "left"), [("d0", True), ("talk_may_5s", False)])
def test_a_reference_image_selects_the_face(
    name: str, left: bool, people: dict[str, list[Image]], tmp_path: Path, run_json: RunJson
) -> None:
    """Side by side in every frame; the reference is a later frame, mirrored and darker."""
    pairs = zip(people["d0"][:6], people["talk_may_5s"][:6], strict=True)
    clip = write_clip(tmp_path / "both.mp4", [np.hstack(pair) for pair in pairs])
    save_image(tmp_path / "reference.png", np.asarray(people[name][13][:, ::-1] * 0.7, np.uint8))
    found = run_json(
        "crop",
        clip,
        "-o",
        tmp_path / "crop.mp4",
        "--size",
        "128",
        "--face",
        tmp_path / "reference.png",
    )
    assert found["faces"] == 2 and found["warnings"] == []
    for place in CropTrack(tmp_path / "crop.crops.safetensors"):
        middle = np.linalg.inv(place.placement.crop_from_frame) @ (63.5, 63.5, 1)
        assert (middle[0] < SIDE) == left


def test_a_stranger_is_not_found(
    people: dict[str, list[Image]], shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = zip(people["d0"][:4], people["talk_may_5s"][:4], strict=True)
    clip = write_clip(tmp_path / "both.mp4", [np.hstack(pair) for pair in pairs])
    command = ["crop", str(clip), "-o", str(tmp_path / "crop.mp4"), "--threads", "1", "--face"]
    assert run([*command, str(shared / "media" / "s9.jpg")]) == 4
    said = capsys.readouterr().err
    assert "None of the 2 faces" in said and "cosine" in said
    assert not (tmp_path / "crop.mp4").exists()


def test_a_free_licence_compares_shapes_and_warns(
    people: dict[str, list[Image]], tmp_path: Path, run_json: RunJson
) -> None:
    pairs = zip(people["d0"][:4], people["talk_may_5s"][:4], strict=True)
    clip = write_clip(tmp_path / "both.mp4", [np.hstack(pair) for pair in pairs])
    save_image(tmp_path / "reference.png", people["d0"][2])
    found = run_json(
        "crop",
        clip,
        "-o",
        tmp_path / "crop.mp4",
        "--size",
        "64",
        "--licence",
        "free",
        "--face",
        tmp_path / "reference.png",
    )
    warnings = str(found["warnings"])
    assert "by face shape alone" in warnings


def test_csim_is_in_the_table(
    people: dict[str, list[Image]], tmp_path: Path, run_json: RunJson
) -> None:
    truth = write_clip(tmp_path / "truth.mp4", people["d0"][:3])
    other = write_clip(tmp_path / "other.mp4", people["talk_may_5s"][:3])
    found = run_json("eval", "reenact", truth, "--result", truth, "--result", other)
    assert found["metrics"]["csim"]["backend"] == "identity-s"
    values = {label: row["face"]["csim"] for label, row in found["rows"].items()}
    assert values["truth"] == pytest.approx(1, abs=1e-3) and values["truth.mp4"] > 0.95
    assert values["other.mp4"] < 0.3 < 0.7 < values["copy"]
    free = run_json("eval", "reenact", truth, "--result", other, "--licence", "free")
    assert "csim" not in free["metrics"]
