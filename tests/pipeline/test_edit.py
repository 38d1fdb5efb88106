"""`thcli edit` with a fake painter and a fake editor: changed pixels, requests, errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from tests.pipeline.command_line import to_argv
from thcli import media
from thcli.cli.app import run
from thcli.core.errors import UsageError
from thcli.core.events import silent
from thcli.core.options import EditOptions, EditorOptions, ReadOptions, RunOptions, Template
from thcli.core.protocols import Editor, Painter
from thcli.core.types import Array32, Face, Frame, Image
from thcli.editors.backends import EDITORS, PAINTERS, TEXT_MODELS
from thcli.editors.edit_file import EditFile, save
from thcli.editors.shared.trajectory import Mask, SteerableEditor, Trajectory
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.pipeline.edit import locate_faces, observe_faces
from thcli.pipeline.editing.factory import plan_steps
from thcli.pipeline.editing.request import parse_request, text_region
from thcli.pipeline.job.job import Job
from thcli.weights.backend import Backend

Clip = Callable[..., Path]
SIDE = 96
MIDDLE = slice(80, 110)


class GreenPainter:
    """A painter that subtracts 30 levels of green at strength 1.

    seen: appearance and strength of every crop painted.
    """

    crop_size = SIDE
    template: Template = "square"
    averaged_only = False
    attributes: Sequence[str] = ("rosy_cheeks", "young", "blond", "male")
    seen: list[tuple[float, float]] = []

    def measure_appearance(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32
    ) -> Array32:
        assert regions.shape == (len(crops), 19, SIDE // 2, SIDE // 2) and np.allclose(
            regions.sum(1), 1, atol=0.01
        )
        assert all(face.mesh is not None for face in faces)
        return np.array([[float(crop.mean())] for crop in crops], np.float32)

    def prepare(self, appearance: Array32, strengths: Mapping[str, float]) -> tuple[float, float]:
        (strength,) = strengths.values()
        return float(appearance[0]), strength

    def paint(
        self,
        crops: Sequence[Image],
        faces: Sequence[Face],
        regions: Array32,
        prepared: tuple[float, float],
    ) -> list[Image]:
        strength = prepared[1]
        GreenPainter.seen += [prepared] * len(crops)
        return [
            np.clip(crop - np.array([0, 30 * strength, 0]), 0, 255).astype(np.uint8)
            for crop in crops
        ]


class BrightnessEditor:
    """An editor whose identity is the mean brightness of a crop, and whose latent is the rest.

    used: identities of all calls of `invert`.
    """

    crop_size = SIDE
    template: Template = "ffhq"
    fingerprint = "0123456789abcdef"
    part_lengths: Sequence[int] = (2,)
    used: list[Array32] = []

    def encode(self, crops: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array32]:
        who = np.array([[1.0, crop.mean() / 1000] for crop in crops], np.float32)
        return who, np.array([face.box[:2] for face in faces], np.float32)

    def invert(self, crops: Sequence[Image], identity: Array32, landmarks: Array32) -> Array32:
        assert landmarks.shape == (len(crops), 2)
        BrightnessEditor.used.append(identity)
        return np.stack(crops).astype(np.float32) - np.float32(100 * identity[1])

    def decode(self, latents: Array32, identity: Array32, landmarks: Array32) -> list[Image]:
        return [
            np.clip(rest + 100 * identity[1] + 3, 0, 255).astype(np.uint8) for rest in latents
        ]  # 3: reconstruction error

    def trajectory(self, crop: Image, face: Face, mask: Mask | None, steps: int) -> Trajectory:
        raise AssertionError("a stored step is not learnt")


class GenderModel:
    """A text-image model that classifies every image as a man, or as a woman."""

    name = "teller"
    man = True

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0] if text == "a man" else [0.0, 1.0] for text in texts])

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        assert images.shape[1] == 3 and 0 <= float(images.min()) <= float(images.max()) <= 1
        return torch.tensor([[1.0, 0.0] if self.man else [0.0, 1.0]])


def load_gender_model(run: RunOptions) -> GenderModel:
    return GenderModel()


def load_painter(run: RunOptions) -> GreenPainter:
    GreenPainter.seen = []
    return GreenPainter()


def load_editor(run: RunOptions, options: EditorOptions | None = None) -> BrightnessEditor:
    BrightnessEditor.used = []
    return BrightnessEditor()


@pytest.fixture(autouse=True)
def fakes(monkeypatch: Any) -> None:
    monkeypatch.setitem(PAINTERS.rows, "blusher", Backend(f"{__name__}:load_painter", "a fake"))
    monkeypatch.setitem(EDITORS.rows, "shader", Backend(f"{__name__}:load_editor", "a fake"))


def read_frames(path: Path) -> list[Frame]:
    with media.read(path, ReadOptions()) as frames:
        return list(frames)


def loss_of_green(made: Frame, own: Frame) -> float:
    """Return the mean loss of green in the middle of the face, in levels."""
    return float(
        (own.pixels[MIDDLE, MIDDLE, 1].astype(int) - made.pixels[MIDDLE, MIDDLE, 1]).mean()
    )


def run_edit(clip: Path, out: Path, *words: str) -> int:
    """Run an edit with the fake painter, by default of blush, and return the exit code."""
    lossless = () if out.suffix == ".png" else ("--codec", "ffv1")
    argv = ["edit", str(clip), "-o", str(out), "-q", *lossless, "--engine", "blusher"]
    return run([*argv, *(words if "--attr" in words else ("--attr", "blush", *words))])


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


def test_batches_and_a_resume_do_not_change_the_pixels(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thcli.media.writing.segments.SEGMENT_FRAMES", 8)
    source = clip("plain.mp4", 24)
    assert run_edit(source, tmp_path / "one.mkv", "--batch-size", "1") == 0
    original, calls = GreenPainter.paint, []

    def interrupted(*args: Any) -> list[Image]:
        calls.append(1)
        if len(calls) > 20:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(GreenPainter, "paint", interrupted)
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
        TEXT_MODELS.rows, "clip-s", Backend(f"{__name__}:load_gender_model", "a fake")
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


def test_an_edit_file_repeats_the_edit(clip: Clip, tmp_path: Path) -> None:
    source, edit_file = clip("c4.mp4", 4), tmp_path / "a.edit.safetensors"
    words = ("--save-edit", str(edit_file), "--attr", "young=0.7")
    assert run_edit(source, tmp_path / "a.mkv", *words) == 0
    argv = to_argv("edit", source, "-q --codec ffv1 --edit", edit_file, "-o", tmp_path / "b.mkv")
    assert run(argv) == 0
    assert GreenPainter.seen[0][1] == pytest.approx(0.7)
    assert [f.pixels.tobytes() for f in read_frames(tmp_path / "a.mkv")] == [
        f.pixels.tobytes() for f in read_frames(tmp_path / "b.mkv")
    ]
    assert run_edit(source, tmp_path / "c.mkv", "--save-edit", str(edit_file)) == 7
    assert not (tmp_path / "c.mkv").exists()


def test_compare_and_dry_run(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    source = clip("c30.mp4", 30)
    argv = to_argv("edit", source, "-o", tmp_path / "a.mp4", "--engine blusher --attr blush")
    assert run([*argv, "--dry-run", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["would_make"] == 30 and report["estimate"] > 0 and report["size"] == "192x192"
    assert list(tmp_path.iterdir()) == []
    assert run([*argv, "-q", "--end", "0.1", "--compare", str(tmp_path / "both.mp4")]) == 0
    assert media.probe(tmp_path / "both.mp4").size == (384, 192)


def test_several_strengths_are_analysed_once(
    clip: Clip, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three files, each the same as of a run by itself."""
    source = clip("c4.mp4", 4)
    words = "--engine blusher --codec ffv1 --json"
    assert (
        run(to_argv("edit", source, "-o", tmp_path / "a.mkv", words, "--attr blush=0.5,1,2")) == 0
    )
    report = json.loads(capsys.readouterr().out)
    files = [tmp_path / f"a_rosy_cheeks_{s}.mkv" for s in ("0.5", "1", "2")]
    assert list(report["outputs"]) == [str(path) for path in files]
    assert "a.mkv" not in {path.name for path in tmp_path.iterdir()}
    alone = tmp_path / "alone.mkv"
    assert run(to_argv("edit", source, "-o", alone, words, "--attr blush=2")) == 0
    capsys.readouterr()
    pixels = [[f.pixels.tobytes() for f in read_frames(path)] for path in (*files, alone)]
    assert pixels[2] == pixels[3] and len({tuple(frames) for frames in pixels}) == 3
    for more in ("--save-edit x.edit.safetensors", "--compare both.mp4"):
        argv = to_argv("edit", source, "-o", tmp_path / "b.mkv", words, "--attr blush=1,2", more)
        assert run(argv) == 2 and "one result" in capsys.readouterr().err
    argv = to_argv("edit", source, "-o", tmp_path / "b.mkv", words, "--attr blush=1,1")
    assert run(argv) == 2 and "equal" in capsys.readouterr().err


REJECTED: dict[str, tuple[int, list[str], str]] = {
    "unknown": (2, ["--attr", "beart"], "beard"),
    "contradictory": (2, ["--attr", "young", "--attr", "old"], "young and old"),
    "both ways": (2, ["--attr", "beard", "--attr", "beard=-1"], "beard"),
    "no number": (2, ["--attr", "beard=much"], "number"),
    "nothing": (2, [], "--attr"),
    "two things": (2, ["--attr", "beard", "--text", "a beard"], "exclude"),
    "engine": (2, ["--attr", "beard", "--engine", "magic"], "dva-s"),
    "cannot": (2, ["--attr", "beard", "--engine", "blusher"], "rosy_cheeks"),
    "text with a painter": (2, ["--text", "a beard", "--engine", "blusher"], "by text"),
    "unknown word": (2, ["--text", "a zombie"], "zombie"),
    "no weights": (5, ["--attr", "beard", "--engine", "dva"], "thcli weights pull dva"),
    "not free": (5, ["--attr", "young", "--licence", "free"], "research"),
    "not believable": (2, ["--attr", "bald"], "shape cannot"),
    "no such edit": (3, ["--edit", "nowhere.edit.safetensors"], "nowhere"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_rejected_requests(case: str, clip: Clip, tmp_path: Path, capsys: Any) -> None:
    code, words, said = REJECTED[case]
    assert run(["edit", str(clip("c4.mp4", 4)), "-o", str(tmp_path / "a.mp4"), *words]) == code
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_no_face(tmp_path: Path, empty_wall: Image) -> None:
    save_image(tmp_path / "wall.png", empty_wall)
    assert run_edit(tmp_path / "wall.png", tmp_path / "out.png") == 4
    assert [path.name for path in tmp_path.iterdir()] == ["wall.png"]


def test_the_bundled_painters(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    """A smile and glasses change their own regions, by the same amount in every frame."""
    source, out = clip("c4.mp4", 4), tmp_path / "a.mkv"
    argv = to_argv("edit", source, "-o", out, "--codec ffv1 --attr glasses --attr smile --json")
    assert run(argv) == 0
    assert json.loads(capsys.readouterr().out)["engines"] == {
        "atlas": {"smiling": 1.0},
        "drawn": {"eyeglasses": 1.0},
    }
    apart = [
        np.abs(a.pixels.astype(int) - b.pixels).max(2)
        for a, b in zip(read_frames(out), read_frames(source), strict=True)
    ]
    eyes, mouth, ground = (
        [float(image[rows].mean()) for image in apart]
        for rows in (
            (slice(50, 75), slice(60, 130)),
            (slice(95, 125), slice(70, 120)),
            (slice(0, 8), slice(0, 192)),
        )
    )
    assert min(eyes) > 5 and min(mouth) > 2 and max(ground) == 0  # the face smiles already
    assert max(eyes) < 1.5 * min(eyes) and max(mouth) < 1.5 * min(mouth)


def test_a_text_of_attributes(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    """It is edited by attribute unless an editor is named; what no painter does is refused."""
    source, named, worded = clip("c1.mp4", 1), tmp_path / "a.png", tmp_path / "b.png"
    free = ("--licence", "free")
    assert run(["edit", str(source), "-o", str(named), "--attr", "eyeglasses", *free]) == 0
    capsys.readouterr()
    argv = ["edit", str(source), "-o", str(worded), "--text", "a woman with glasses", *free]
    assert run([*argv, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["attributes"] == {"eyeglasses": 1.0} and report["text"] == "a woman with glasses"
    assert report["engines"] == {"drawn": {"eyeglasses": 1.0}}
    assert named.read_bytes() == worded.read_bytes()
    for text in ("a woman with glasses", "a woman with a hat"):
        request = parse_request(EditOptions(text=text, engine="dva-s"))
        assert (
            request.text == text
            and request.neutral == "a woman"
            and list(request.engines) == ["dva-s"]
        )
    with pytest.raises(UsageError, match="hat"):
        parse_request(EditOptions(text="a woman with a hat"))
    assert text_region("a woman with glasses", "a woman") == text_region("a zombie", "") == "all"
    assert text_region("a smiling woman", "a woman") == "face"
    assert text_region("a woman with black hair", "a woman") == "hair"
