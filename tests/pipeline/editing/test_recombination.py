"""Recombinations: identity, motion and background of other files, with a fake editor."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thcli
from tests.pipeline.command_line import to_argv
from thcli import media
from thcli.cli.app import run
from thcli.core.errors import UsageError
from thcli.core.events import silent
from thcli.core.options import (
    EditOptions,
    EditorOptions,
    ReadOptions,
    RecombineOptions,
    RunOptions,
    Template,
)
from thcli.core.types import Array32, Face, Image
from thcli.editors.backends import EDITORS
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.pipeline.dry_run import rehearse_edit
from thcli.pipeline.job.fingerprint import fingerprint
from thcli.pipeline.job.job import Report
from thcli.weights.backend import Backend

Clip = Callable[..., Path]
SIDE = 64


class PartsEditor:
    """An editor that shows where its parts come from.

    An identity is the mean of a crop, the landmarks are the number of its encoding (files of other
    parts are encoded before the clip), and a latent is the mean of a crop too. A decoded image has
    these three as red, green and blue.
    """

    crop_size = SIDE
    template: Template = "ffhq"
    encoded = 0

    def __init__(self) -> None:
        self.inverted: list[tuple[float, float, float]] = []
        self.decoded: list[tuple[float, float]] = []

    def encode(self, crops: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array32]:
        assert all(face.mesh is not None for face in faces)
        identities = np.array([[crop.mean()] for crop in crops], np.float32)
        numbers = np.arange(self.encoded, self.encoded + len(crops), dtype=np.float32)
        self.encoded += len(crops)
        return identities, numbers[:, None]

    def move(
        self, crops: Sequence[Image], landmarks: Array32, target: Array32
    ) -> tuple[list[Image], Array32]:
        return list(crops), landmarks

    def invert(self, crops: Sequence[Image], identity: Array32, landmarks: Array32) -> Array32:
        latents = np.array([crop.mean() for crop in crops], np.float32)
        for latent, row in zip(latents, landmarks, strict=True):
            self.inverted.append((float(latent), float(identity[0]), float(row[0])))
        return latents

    def decode(self, latents: Array32, identity: Array32, landmarks: Array32) -> list[Image]:
        out = []
        for latent, (row,) in zip(latents, landmarks, strict=True):
            self.decoded.append((float(identity[0]), float(row)))
            out.append(np.full((SIDE, SIDE, 3), (identity[0], 8 * row, latent), np.uint8))
        return out


editors: list[PartsEditor] = []


def load_editor(run: RunOptions, options: EditorOptions | None = None) -> PartsEditor:
    editors.append(PartsEditor())
    return editors[-1]


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    editors.clear()
    row = Backend(f"{__name__}:load_editor", "a fake", reads=("recombine",))
    monkeypatch.setitem(EDITORS.rows, "parts", row)


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    """Return a brighter picture of the head."""
    pixels = np.ascontiguousarray(photograph()[10:266, 95:351])
    save_image(tmp_path / "bright.png", (pixels // 2 + 127).astype(np.uint8))
    return tmp_path / "bright.png"


def edit(source: Path, *words: object) -> int:
    return run(to_argv("edit", source, "-q --codec ffv1 --engine parts", *words))


def pixels_of(path: Path) -> list[Any]:
    with media.read(path, ReadOptions()) as frames:
        return [frame.pixels.astype(int) for frame in frames]


def test_the_identity_of_a_picture(clip: Clip, bright: Path, tmp_path: Path) -> None:
    """The clip is inverted with its own identity, and decoded with both; its face changes."""
    source, out = clip("c4.mp4", 4), tmp_path / "a.mkv"
    assert edit(source, "-o", out, "--identity-from", bright) == 0
    (editor,) = editors
    own, other = ({row[0] for row in part} for part in (editor.decoded[:4], editor.decoded[4:]))
    assert len(own) == len(other) == 1 and min(other) > min(own) + 50
    assert {row[1] for row in editor.inverted} == own
    assert [row[2] for row in editor.inverted] == [1, 2, 3, 4]  # 0 is the picture's
    for made, was in zip(pixels_of(out), pixels_of(source), strict=True):
        change = made - was
        assert change[80:110, 80:110, 0].mean() > 30 and not change[80:110, 80:110, 1:].any()
        assert not change[:4].any()


def test_the_motion_at_the_same_times(clip: Clip, tmp_path: Path) -> None:
    """Slower frames are held, and so is the last one; the whole crop is replaced."""
    source = clip("c8.mp4", 8)
    other = clip("slow3.mp4", 3, pts=[0, 80, 160])
    assert edit(source, "-o", tmp_path / "a.mkv", "--motion-from", other) == 0
    (editor,) = editors
    assert [row[1] for row in editor.decoded] == [0, 0, 1, 1, 2, 2, 2, 2]
    assert [row[2] for row in editor.inverted] == [3, 4, 5, 6, 7, 8, 9, 10]
    made = pixels_of(tmp_path / "a.mkv")
    assert made[5][95, 95, 1] == 16 and made[0][95, 95, 1] == 0


def test_the_background_of_a_picture(clip: Clip, bright: Path, tmp_path: Path) -> None:
    """Its x_T comes from its own identity and landmarks; --region limits what is replaced."""
    source = clip("c4.mp4", 4)
    own = pixels_of(source)[2]
    assert edit(source, "-o", tmp_path / "a.mkv", "--background-from", bright) == 0
    (editor,) = editors
    latent, identity, row = editor.inverted[0]
    assert editor.inverted == [(latent, identity, row)] * 4 and (latent, row) == (identity, 0)
    assert [row[1] for row in editor.decoded] == [1, 2, 3, 4]
    change = pixels_of(tmp_path / "a.mkv")[2] - own
    assert edit(source, "-o", tmp_path / "b.mkv", "--background-from", bright, "--region face") == 0
    within = pixels_of(tmp_path / "b.mkv")[2] - own
    assert np.array_equal(change[95, 95], within[95, 95]) and change[95, 95].any()
    assert 0 < within.any(2).mean() < 0.7 * change.any(2).mean()


def test_all_parts_and_the_batch_size(clip: Clip, bright: Path, tmp_path: Path) -> None:
    """Files that are given twice are observed once."""
    source, other = clip("c4.mp4", 4), clip("slow3.mp4", 3, pts=[0, 80, 160])
    parts = ("--identity-from", bright, "--motion-from", other, "--background-from", other)
    for size in (1, 3):
        out = tmp_path / f"{size}.mkv"
        assert edit(source, "-o", out, *parts, "--batch-size", size) == 0
    assert [editor.encoded for editor in editors] == [1 + 3 + 4] * 2
    one, three = (pixels_of(tmp_path / f"{size}.mkv") for size in (1, 3))
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (2, "--engine drawn --identity-from PICTURE", "It works with: dva-s, dva"),
        (2, "--attr beard --motion-from PICTURE", "no effect with editor"),
        (3, "--engine parts --identity-from nowhere.png", "nowhere.png"),
        (4, "--engine parts --background-from WALL", "wall.png"),
        (5, "--licence free --identity-from PICTURE", "research"),
    ],
)
def test_refused_recombinations(
    code: int, words: str, said: str, bright: Path, empty_wall: Image, tmp_path: Path, capsys: Any
) -> None:
    save_image(tmp_path / "wall.png", empty_wall)
    files = {"PICTURE": str(bright), "WALL": str(tmp_path / "wall.png")}
    argv = [files.get(word, word) for word in words.split()]
    assert run(["edit", str(bright), "-o", str(tmp_path / "out.png"), *argv]) == code
    err = " ".join(capsys.readouterr().err.split())
    assert said in err and "Traceback" not in err
    assert not (tmp_path / "out.png").exists()


def test_the_fingerprint_follows_the_content_of_the_files(bright: Path, tmp_path: Path) -> None:
    """A job is not resumed with another picture of the same name."""
    path = tmp_path / "part.png"
    for part in ("identity", "motion", "background"):
        options = EditOptions(recombine=RecombineOptions(**{part: path}))
        seen = []
        for source in (bright, tmp_path / "other.png"):
            save_image(tmp_path / "other.png", np.zeros((8, 8, 3), np.uint8))
            shutil.copy(source, path)
            seen.append(fingerprint([], options, {}))
        assert seen[0] != seen[1]


@pytest.mark.parametrize("part", ["identity", "motion", "background"])
@pytest.mark.parametrize("how", ["", "--dry-run"])
def test_the_file_of_a_part_is_not_replaced(
    part: str, how: str, clip: Clip, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "part.mp4"
    shutil.copy(clip("c4.mp4", 4), path)
    argv = to_argv(
        "edit",
        clip("c8.mp4", 8),
        "-q --engine parts --overwrite",
        f"--{part}-from",
        path,
        "-o",
        path,
        how,
    )
    assert run(argv) == UsageError.exit_code
    assert "an input of this run" in " ".join(capsys.readouterr().err.split())
    assert path.read_bytes() == clip("c4.mp4", 4).read_bytes()


def test_a_trial_observes_as_much_motion_as_it_needs(clip: Clip, tmp_path: Path) -> None:
    """So does a part of the clip; an identity is that of the whole file."""
    source, other = clip("c10.mp4", 10), clip("c30.mp4", 30)
    for words in (("--motion-from", other), ("--background-from", other, "--identity-from", other)):
        assert edit(source, "-o", tmp_path / "a.mkv", *words, "--dry-run") == 0
    assert [editor.encoded for editor in editors] == [5 + 5, 30 + 5]


@pytest.mark.parametrize(("part", "estimate"), [("identity", 11), ("motion", 51)])
def test_an_estimate_counts_other_files_by_their_frames(
    part: str, estimate: float, clip: Clip, tmp_path: Path
) -> None:
    """The trial takes 10 s, of which 8 for the other file and .2 for each of 5 frames."""

    def trial(*given: object) -> Report:
        stages = {"other faces": 8.0, "settle": 1.0, "learn": 1.0}
        return Report("edit", None, frames=5, seconds=10, stages=stages)

    options = EditOptions(recombine=RecombineOptions(**{part: clip("c30.mp4", 30)}))
    report = rehearse_edit(trial, clip("c10.mp4", 10), tmp_path / "a.mkv", options, silent)
    assert report.details["estimate"] == estimate


def test_other_faces_are_a_stage_of_their_own(clip: Clip, bright: Path, tmp_path: Path) -> None:
    options = EditOptions(engine="parts", recombine=RecombineOptions(identity=bright))
    stages = thcli.edit(clip("c4.mp4", 4), tmp_path / "a.mkv", options).stages
    assert stages["other faces"] > 0 and stages["learn"] > 0
