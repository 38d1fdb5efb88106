"""Two people in made clips: --face with a picture, one number for one person over cuts, CSIM in the table. Real faces, shipped weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from thcli import media
from thcli.cli.app import run
from thcli.core.imaging import to_uint8
from thcli.core.options import OutputOptions
from thcli.core.types import Image
from thcli.evaluate.reports.contact_sheet import save_picture
from thcli.pipeline.observe.crop_track import CropTrack

SIDE = 256
Asked = Callable[..., dict[str, object]]


@pytest.fixture
def asked(capsys: pytest.CaptureFixture[str]) -> Asked:
    """Runs a command and gives its --json."""

    def ask(*words: str | Path) -> dict[str, object]:
        assert run([*map(str, words), "--threads", "1", "--device", "cpu", "--json"]) == 0, (
            capsys.readouterr().err
        )
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    return ask


@pytest.fixture(scope="module")
def people(shared: Path) -> dict[str, list[Image]]:
    """Fourteen frames of two clips each, at SIDE."""
    out = {}
    for name in ("d0", "talk_may_5s"):
        with media.read(shared / "media" / f"{name}.mp4") as frames:
            shown = [to_uint8(frame.pixels) for frame in islice(frames, 0, 56, 4)]
        out[name] = [
            np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
            for picture in shown
        ]
    return out


def written(path: Path, pictures: list[Image]) -> Path:
    height, width = pictures[0].shape[:2]
    options = OutputOptions(crf=12)
    with media.write(
        path, (width, height), None, options, time_base=Fraction(1, 25), rate=Fraction(25)
    ) as clip:
        for index, picture in enumerate(pictures):
            clip.write(picture, index, 1)
    return path


def closer(picture: Image) -> Image:
    """Another shot of the same scene: nearer, and moved to the side."""
    where = np.array([[1.3, 0, -75], [0, 1.3, -40]])
    return np.asarray(
        cv2.warpAffine(picture, where, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def test_one_person_has_one_number_over_cuts(
    people: dict[str, list[Image]], tmp_path: Path, asked: Asked
) -> None:
    """Shot, reverse shot, and the first person again from nearer by."""
    one, two = people["d0"], people["talk_may_5s"]
    clip = written(
        tmp_path / "cuts.mp4", [*one[:5], *two[:5], *[closer(p) for p in one[7:12]], *two[7:12]]
    )
    lines = tmp_path / "tracks.jsonl"
    found = asked("track", clip, "-o", lines)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["faces"][0]["track"] for row in rows] == [0] * 5 + [1] * 5 + [0] * 5 + [1] * 5
    assert found["faces"] == 2


@pytest.mark.parametrize(("name", "left"), [("d0", True), ("talk_may_5s", False)])
def test_a_picture_says_whose_face(
    name: str, left: bool, people: dict[str, list[Image]], tmp_path: Path, asked: Asked
) -> None:
    """Side by side in every frame; the picture is a later frame, mirrored and darker."""
    pairs = zip(people["d0"][:6], people["talk_may_5s"][:6], strict=True)
    clip = written(tmp_path / "both.mp4", [np.hstack(pair) for pair in pairs])
    save_picture(tmp_path / "who.png", np.asarray(people[name][13][:, ::-1] * 0.7, np.uint8))
    found = asked(
        "crop", clip, "-o", tmp_path / "crop.mp4", "--size", "128", "--face", tmp_path / "who.png"
    )
    assert found["faces"] == 2 and found["warnings"] == []
    for place in CropTrack(tmp_path / "crop.crops.safetensors"):
        middle = np.linalg.inv(place.where.crop_from_frame) @ (63.5, 63.5, 1)
        assert (middle[0] < SIDE) == left


def test_a_stranger_is_not_there(
    people: dict[str, list[Image]], shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = zip(people["d0"][:4], people["talk_may_5s"][:4], strict=True)
    clip = written(tmp_path / "both.mp4", [np.hstack(pair) for pair in pairs])
    command = ["crop", str(clip), "-o", str(tmp_path / "crop.mp4"), "--threads", "1", "--face"]
    assert run([*command, str(shared / "media" / "s9.jpg")]) == 4
    said = capsys.readouterr().err
    assert "None of the 2 faces" in said and "cosine" in said
    assert not (tmp_path / "crop.mp4").exists()


def test_a_free_licence_compares_shapes_and_says_so(
    people: dict[str, list[Image]], tmp_path: Path, asked: Asked
) -> None:
    pairs = zip(people["d0"][:4], people["talk_may_5s"][:4], strict=True)
    clip = written(tmp_path / "both.mp4", [np.hstack(pair) for pair in pairs])
    save_picture(tmp_path / "who.png", people["d0"][2])
    found = asked(
        "crop",
        clip,
        "-o",
        tmp_path / "crop.mp4",
        "--size",
        "64",
        "--licence",
        "free",
        "--face",
        tmp_path / "who.png",
    )
    assert any("shape of the face alone" in str(warning) for warning in found["warnings"])  # type: ignore[attr-defined]  # a list


def test_csim_is_in_the_table_and_named(
    people: dict[str, list[Image]], tmp_path: Path, asked: Asked
) -> None:
    truth = written(tmp_path / "truth.mp4", people["d0"][:5])
    other = written(tmp_path / "other.mp4", people["talk_may_5s"][:5])
    found = asked("eval", "reenact", truth, truth, other)
    assert found["metrics"]["csim"]["backend"] == "identity-s"  # type: ignore[index]  # a table
    values = {label: row["face"]["csim"] for label, row in found["rows"].items()}  # type: ignore[attr-defined]  # a table
    assert values["truth"] == pytest.approx(1, abs=1e-3) and values["truth.mp4"] > 0.95
    assert values["other.mp4"] < 0.3 < 0.7 < values["copy"]
    free = asked("eval", "reenact", truth, other, "--licence", "free")
    assert "csim" not in free["metrics"]  # type: ignore[operator]  # a table
