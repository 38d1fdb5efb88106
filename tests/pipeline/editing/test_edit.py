"""`thcli edit` with a fake painter and a fake editor: changed pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from tests.pipeline.editing.fakes import (
    MIDDLE,
    SIDE,
    BrightnessEditor,
    Clip,
    GenderModel,
    GreenPainter,
    interrupt_paint,
    loss_of_green,
    read_frames,
    run_edit,
)
from tests.pipeline.sources.squeezed import squeeze
from thcli import media
from thcli.cli.app import run
from thcli.core.events import silent
from thcli.core.options import EditOptions
from thcli.core.protocols import Editor, Painter
from thcli.core.types import Image
from thcli.editors.backends import TEXT_MODELS
from thcli.editors.edit_file import EditFile, save
from thcli.editors.shared.trajectory import SteerableEditor
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.pipeline.edit import locate_faces, observe_faces
from thcli.pipeline.editing.factory import plan_steps
from thcli.pipeline.editing.request import parse_request
from thcli.pipeline.job.job import Job
from thcli.weights.backend import Backend

pytestmark = pytest.mark.usefixtures("fakes")


def test_the_fakes_follow_the_protocols() -> None:
    assert isinstance(GreenPainter(), Painter) and isinstance(BrightnessEditor(), SteerableEditor)
    one: Editor = BrightnessEditor()
    assert one.crop_size == SIDE


def test_only_the_face_changes(clip: Clip, tmp_path: Path) -> None:
    """The change is the same in every frame; time stamps, audio and other pixels stay."""
    uneven = [0, 40, 130, 160, 250, 280, 400, 410]
    source = clip("uneven8.mp4", 8, pts=uneven, tone=True)
    assert run_edit(source, tmp_path / "a.mkv") == 0
    made, own = read_frames(tmp_path / "a.mkv"), read_frames(source)
    assert [round(float(f.seconds) * 1000) for f in made] == uneven and made[0].size == own[0].size
    assert [loss_of_green(a, b) for a, b in zip(made, own, strict=True)] == pytest.approx(
        [30] * 8, abs=1.5
    )
    assert len(set(GreenPainter.seen)) == 1
    for a, b in zip(made, own, strict=True):
        apart = np.abs(a.pixels.astype(int) - b.pixels).max(2)
        assert not apart[:6].any() and not apart[:, :6].any() and not apart[:, -6:].any()
        assert 0.05 < (apart > 0).mean() < 0.5
    with av.open(str(tmp_path / "a.mkv")) as file:
        assert len(file.streams.audio) == 1
        assert "AI-generated" in str(file.metadata) and "edit" in str(file.metadata)


def test_anamorphic_frames_are_edited_as_they_are_shown(clip: Clip, tmp_path: Path) -> None:
    source, out = squeeze(tmp_path / "s.mp4", clip("plain6.mp4", 6)), tmp_path / "a.mp4"
    assert run_edit(source, out) == 0
    made, own = media.probe(out), media.probe(source)
    assert made.sar == own.sar == 2 and made.size == own.size == (96, 192)
    pairs = list(zip(read_frames(out), read_frames(source), strict=True))
    for a, b in pairs:
        lost = b.pixels[..., 1].astype(int) - a.pixels[..., 1]
        assert abs(lost[MIDDLE, 40:55].mean() - 30) < 4
        assert np.abs(lost[:6]).max() < 8 and (lost > 15).mean() > 0.05


def test_batches_and_a_resume_do_not_change_the_pixels(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thcli.media.writing.segments.SEGMENT_FRAMES", 8)
    source = clip("plain.mp4", 24)
    assert run_edit(source, tmp_path / "one.mkv", "--batch-size", "1") == 0
    with monkeypatch.context() as patch:
        interrupt_paint(patch, after=20)
        assert run_edit(source, tmp_path / "out.mkv", "--resume") == 130
    assert not (tmp_path / "out.mkv").exists()
    assert run_edit(source, tmp_path / "out.mkv", "--resume") == 0
    assert len(GreenPainter.seen) < 24  # written frames are not rendered again
    whole, resumed = read_frames(tmp_path / "one.mkv"), read_frames(tmp_path / "out.mkv")
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(whole, resumed, strict=True))


def test_frames_without_the_face_pass_through(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    source = clip("away15.mp4", 15, without=range(5, 10))
    argv = to_argv("edit", source, "-o", tmp_path / "a.mkv", "--codec ffv1 --engine blusher")
    assert run([*argv, "--attr", "blush", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["passed_through"]) == (15, 5)
    assert report["attributes"] == {"rosy_cheeks": 1.0} and report["engine"] == "blusher"
    same = [
        np.array_equal(a.pixels, b.pixels)
        for a, b in zip(read_frames(tmp_path / "a.mkv"), read_frames(source), strict=True)
    ]
    assert all(same[5:10]) and not any(same[:5]) and not any(same[10:])


@pytest.mark.parametrize(
    ("face", "changed"), [("0", (True, False)), ("1", (False, True)), ("all", (True, True))]
)
def test_one_face_of_two(tmp_path: Path, face: str, changed: tuple[bool, bool]) -> None:
    """The input is an image."""
    one = np.ascontiguousarray(photograph()[10:266, 95:351])
    save_image(tmp_path / "two.png", np.concatenate([one, one], 1))
    assert run_edit(tmp_path / "two.png", tmp_path / "out.png", "--face", face) == 0
    made, own = media.read_image(tmp_path / "out.png"), media.read_image(tmp_path / "two.png")
    halves = [(made[:, x : x + 256] != own[:, x : x + 256]).any() for x in (0, 256)]
    assert tuple(halves) == changed


def test_strengths_and_opposites(clip: Clip, tmp_path: Path) -> None:
    source = clip("c4.mp4", 4)
    assert run_edit(source, tmp_path / "a.mkv", "--attr", "old=0.5", "--strength", "2") == 0
    assert GreenPainter.seen[0][1] == -1.0  # the painter supports young, not old


@pytest.mark.parametrize(("man", "strength"), [(True, -1.0), (False, 1.0)])
def test_gender_depends_on_the_face(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, man: bool, strength: float
) -> None:
    monkeypatch.setattr(GenderModel, "man", man)
    monkeypatch.setitem(
        TEXT_MODELS.rows,
        "clip-s",
        Backend("tests.pipeline.editing.fakes:load_gender_model", "a fake"),
    )
    assert run_edit(clip("c4.mp4", 4), tmp_path / "a.mkv", "--attr", "gender") == 0
    assert GreenPainter.seen[0][1] == strength


def test_hair_only(clip: Clip, tmp_path: Path) -> None:
    source = clip("c4.mp4", 4)
    assert run_edit(source, tmp_path / "a.mkv", "--attr", "blonde") == 0
    made, own = read_frames(tmp_path / "a.mkv")[2], read_frames(source)[2]
    apart = np.abs(made.pixels.astype(int) - own.pixels)[..., 1]
    assert apart[MIDDLE, MIDDLE].mean() < 1 and apart.max() > 20
    assert run_edit(source, tmp_path / "b.mkv", "--attr", "blonde", "--region", "face") == 0
    assert loss_of_green(read_frames(tmp_path / "b.mkv")[2], own) > 25


def test_reconstruction_errors_of_an_editor_cancel(clip: Clip, tmp_path: Path) -> None:
    """A stored step moves the mean identity of the clip, in all frames."""
    source, edit_file = clip("c8.mp4", 8), tmp_path / "a.edit.safetensors"
    step = np.array([0.0, 0.2], np.float32)
    save(
        edit_file,
        EditFile(
            {},
            "shader",
            step,
            1.0,
            "shader",
            BrightnessEditor.fingerprint,
            "a face",
            "a lighter face",
            "clip-s",
        ),
    )
    argv = ["edit", str(source), "-q", "--codec", "ffv1", "--edit", str(edit_file), "-o"]
    assert run([*argv, str(tmp_path / "a.mkv")]) == 0
    assert len({who.tobytes() for who in BrightnessEditor.used}) == 1
    mean = BrightnessEditor.used[0]
    moved = mean + step
    wanted = 100 * float(mean[1] - moved[1] / np.linalg.norm(moved))
    made, own = read_frames(tmp_path / "a.mkv"), read_frames(source)
    assert [loss_of_green(a, b) for a, b in zip(made, own, strict=True)] == pytest.approx(
        [wanted] * 8, abs=2.5
    )
    assert all(np.array_equal(a.pixels[:6], b.pixels[:6]) for a, b in zip(made, own, strict=True))
    save(
        edit_file,
        EditFile({}, "shader", step, 1.0, "shader", "another", "", "", ""),
        overwrite=True,
    )
    assert run([*argv, str(tmp_path / "b.mkv")]) == 2


@pytest.mark.parametrize(
    ("darker", "attribute", "spread"),
    [(False, "blush", (0, 3)), (False, "blond", (20, 99)), (True, "blush", (10, 99))],
)
def test_grey_footage_takes_no_colour_but_a_named_one(
    tmp_path: Path, darker: bool, attribute: str, spread: tuple[int, int]
) -> None:
    """Dark footage is no grey one: what the painter adds to it stays coloured."""
    picture = np.ascontiguousarray(photograph()[10:266, 95:351])
    picture = (picture * 0.4).astype(np.uint8) if darker else np.repeat(picture[..., 1:2], 3, 2)
    save_image(tmp_path / "a.png", picture)
    argv = ("--attr", attribute)
    assert run_edit(tmp_path / "a.png", tmp_path / "b.png", *argv, "--region", "all") == 0
    (made,) = read_frames(tmp_path / "b.png")
    change = made.pixels.astype(int) - picture
    assert spread[0] <= np.ptp(change, axis=-1).max() <= spread[1] and change.any()


def test_alone_edits_the_appearance_of_each_frame(clip: Clip) -> None:
    options = EditOptions(attr=["blush"], engine="blusher")
    info = media.probe(clip("c8.mp4", 8))
    with Job("edit", silent) as job:
        steps = plan_steps(parse_request(options), options, silent)
        edited_faces = observe_faces(info, steps, options, job)
        (face,) = edited_faces.faces
        for frames, (in_frames,) in locate_faces(edited_faces, info, 0, options, job):
            pixels = [frame.pixels for frame in frames]
            occlusion_masks = face.occlusion_masks(pixels, in_frames)
            face.apply(pixels, in_frames, occlusion_masks, alone=True)
    assert len(set(GreenPainter.seen)) == 8


def test_no_face(tmp_path: Path, empty_wall: Image) -> None:
    save_image(tmp_path / "wall.png", empty_wall)
    assert run_edit(tmp_path / "wall.png", tmp_path / "out.png") == 4
    assert [path.name for path in tmp_path.iterdir()] == ["wall.png"]
