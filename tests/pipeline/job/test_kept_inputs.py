"""No output replaces an input of its run: every verb, every option that names a file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.commands import fake_backends
from tests.motion.synthetic_motion import driver
from tests.pipeline.command_line import to_argv
from thcli.cli.app import run
from thcli.core import options as option_classes
from thcli.core.errors import UsageError
from thcli.faces.tracking.track import Tracker
from thcli.media.destination import kept_inputs, resolve_destination
from thcli.motion.file.writer import MotionWriter
from thcli.pipeline.job.fingerprint import fingerprint, named_inputs
from thcli.pipeline.job.job import Job

Clip = Callable[..., Path]
# Command lines of all verbs; a word with a dot is a file, an input.
COMMANDS = [
    "reenact face.png clip.mp4",
    "reenact face.png clip.mp4 --dry-run",
    "reenact other.mp4 clip.mp4 --audio sound.mp4",
    "reenact face.png clip.mp4 --background wall.png --also also.png --refine detail",
    "warp face.png head.motion.safetensors",
    "speak face.png sound.mp4 --voice jaw --background wall.png",
    "speak face.png sound.mp4 --voice jaw --dry-run",
    "speak clip.mp4 sound.mp4 --voice jaw",
    "refine clip.mp4 --engine blush",
    "refine clip.mp4 --engine blush --dry-run",
    "edit clip.mp4 --engine dim --attr blush --face who.png",
    "edit clip.mp4 --engine dim --attr blush --dry-run",
    "compare clip.mp4 other.mp4",
    "crop clip.mp4 --face who.png",
    "align face.png",
    "parse clip.mp4 --kind overlay",
    "paste crops.mp4 clip.mp4",
    "detect clip.mp4",
    "track clip.mp4",
    "transmit clip.mp4",
    "transmit clip.mp4 --dry-run",
    "receive face.png call.thc",
    "receive face.png call.thc --dry-run",
]
CASES = [(line, word) for line in COMMANDS for word in line.split() if "." in word]


@pytest.fixture(scope="module")
def material(
    portrait: Path, clip: Clip, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Return a folder with the inputs of all commands."""
    folder = tmp_path_factory.mktemp("material")
    for name in ("face.png", "wall.png", "also.png", "who.png"):
        shutil.copy(portrait, folder / name)
    for name in ("clip.mp4", "other.mp4", "sound.mp4"):
        shutil.copy(clip("tone_10.mp4", 10, tone=True), folder / name)
    with MotionWriter(folder / "head.motion.safetensors", {}) as writer:
        writer.append(driver(8))
    for verb, made in (("crop", "crops.mp4"), ("transmit", "call.thc")):
        assert run(to_argv(verb, folder / "clip.mp4", "-o", folder / made)) == 0
    with fake_backends():
        yield folder


@pytest.fixture
def room(material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the material as the working folder; no frame may be tracked."""

    def fail(*arguments: object) -> None:
        raise AssertionError("a frame was tracked")

    monkeypatch.setattr(Tracker, "update", fail)
    shutil.copytree(material, tmp_path / "room")
    monkeypatch.chdir(tmp_path / "room")
    return tmp_path / "room"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("line", "word"), CASES)
def test_an_input_is_not_the_output(line: str, word: str, room: Path, capsys: Any) -> None:
    before = contents(room)
    assert run(to_argv(line, "--overwrite", "-o", word)) == UsageError.exit_code
    said = " ".join(capsys.readouterr().err.split())
    if not word.endswith((".safetensors", ".thc")):  # no formats of results: refused by name
        assert f"would replace {word}, an input of this run" in said
    assert contents(room) == before


OTHERS = [
    "reenact face.png clip.mp4 --compare clip.mp4",
    "reenact face.png clip.mp4 --driver 0=other.mp4 --compare other.mp4",
    "edit clip.mp4 --engine dim --attr blush --save-edit clip.mp4",
    "edit clip.mp4 --engine dim --attr blush --compare clip.mp4 --dry-run",
    "crop clip.mp4 --crops clip.mp4",
    "encode face.png --frontal face.png",
    "encode clip.mp4 --face who.png --frontal who.png",
]


@pytest.mark.parametrize("line", OTHERS)
def test_an_input_is_no_output_beside_the_result(line: str, room: Path, capsys: Any) -> None:
    before = contents(room)
    output = room / ("new.motion.safetensors" if line.startswith("encode") else "new.mp4")
    assert run(to_argv(line, "--overwrite", "-o", output)) == UsageError.exit_code
    assert "an input of this run" in " ".join(capsys.readouterr().err.split())
    assert contents(room) == before


def test_strengths_are_checked_by_the_names_of_their_files(room: Path, capsys: Any) -> None:
    """The trial of a dry run refuses what the job would: a taken name, or an input."""
    shutil.copy(room / "clip.mp4", room / "out_rosy_cheeks_1.mp4")
    line = "edit clip.mp4 --engine dim --attr blush=0.5,1 -o out.mp4"
    for dry in ("", "--dry-run"):
        assert run(to_argv(line, dry)) == 7
        assert "out_rosy_cheeks_1.mp4 exists already" in " ".join(capsys.readouterr().err.split())
        line_2 = line.replace("clip.mp4", "out_rosy_cheeks_1.mp4")
        assert run(to_argv(line_2, "--overwrite", dry)) == UsageError.exit_code
        assert "an input of this run" in " ".join(capsys.readouterr().err.split())


def test_links_to_an_input_are_the_input(tmp_path: Path) -> None:
    kept = tmp_path / "a.mp4"
    kept.write_bytes(b"kept")
    (tmp_path / "link.mp4").symlink_to(kept)
    (tmp_path / "hard.mp4").hardlink_to(kept)
    for named in (kept, tmp_path / "link.mp4"):
        for output in ("a.mp4", "link.mp4", "hard.mp4", "../" + tmp_path.name + "/a.mp4"):
            with kept_inputs([named]), pytest.raises(UsageError, match="an input of this run"):
                resolve_destination(tmp_path / output)
    assert resolve_destination(kept) == kept


def test_images_of_folders_are_kept(tmp_path: Path) -> None:
    """A result may join other files of an input's folder, but not replace its images."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for name in ("0001.png", "face.png", "notes.mp4"):
        (frames / name).write_bytes(b"kept")
    for kept, output in ((frames, frames), (frames, frames / "0001.png")):
        with kept_inputs([kept]), pytest.raises(UsageError, match="an input of this run"):
            resolve_destination(output)
    with kept_inputs([frames / "0001.png"]), pytest.raises(UsageError, match=r"0001\.png"):
        resolve_destination(frames)  # a folder of frames loses its numbered images
    for kept, output in (
        (frames / "face.png", frames),
        (frames, frames / "notes.mp4"),
        (frames, frames / "0002.png"),
        (tmp_path / "absent", frames),
    ):
        with kept_inputs([kept, "largest"]):
            assert resolve_destination(output) == output


def test_words_are_no_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the name of a choice is an output like any other."""
    monkeypatch.chdir(tmp_path)
    words = ("keep", "largest", "drive", "speaking", "0", "natural")
    for word in words:
        Path(word).mkdir()
    options = option_classes.ReenactOptions(source_face="0")
    before = fingerprint((), options, {})
    with Job("reenact", lambda _: None, options):
        for word in words:
            assert resolve_destination(Path(word)) == Path(word)
            assert resolve_destination(Path(word, "x.png")) == Path(word, "x.png")
    assert list(named_inputs(options)) == list(named_inputs(option_classes.SpeakOptions())) == []
    (tmp_path / "drive" / "0001.png").write_bytes(b"new")
    assert fingerprint((), options, {}) == before
    video = replace(options, background="drive")
    with Job("reenact", lambda _: None, video), pytest.raises(UsageError, match="replace drive"):
        resolve_destination(Path("drive"))


def test_names_that_no_file_has_are_no_inputs(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").touch()
    for kept in ("n" * 300, "a\0b"):
        with kept_inputs([kept]):
            assert resolve_destination(tmp_path / "out.mp4") == tmp_path / "out.mp4"


def input_fields() -> Iterator[tuple[Any, str, str]]:
    """Yield each option that names a file to read: its class, name and role."""
    for kind in vars(option_classes).values():
        if isinstance(kind, type) and is_dataclass(kind):
            for item in fields(kind):
                if item.metadata.get("path") in ("input", "numbered input"):
                    yield kind, item.name, item.metadata["path"]


def test_every_option_that_names_an_input_counts() -> None:
    found = list(input_fields())
    assert len(found) > 15
    for kind, name, role in found:
        options = kind()
        for value in (["0=a.png"] if role == "numbered input" else ["a.png"], "a.png"):
            object.__setattr__(options, name, value)
            if role == "input" or isinstance(value, list):
                assert list(named_inputs(options)).count("a.png") == 1, (kind, name)
        object.__setattr__(options, name, None)
        assert "a.png" not in list(named_inputs(options))
