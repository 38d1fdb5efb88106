"""Material and command lines of all verbs for fault tests: 6 frames of 96 x 96, fake backends."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow

from tests.faults.forks import without_threads
from tests.pipeline.face_clip import write_face_clip
from tests.pipeline.fake_painters import DarkeningPainter
from thcli.cli.app import run
from thcli.core.options import RunOptions
from thcli.editors.backends import PAINTERS
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.pipeline.backends import STAGES
from thcli.voices.backends import VOICES
from thcli.weights.backend import Backend

SIDE, FRAMES = 96, 6


def load_painter(run: RunOptions) -> DarkeningPainter:
    return DarkeningPainter()


@dataclass(frozen=True)
class Verb:
    """A command. words: without the output; ending: of the output; "": a folder of images."""

    words: str
    ending: str = ".mkv"
    resumable: bool = True

    @property
    def output(self) -> str:
        return f"made{self.ending}"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of all files that the command makes."""
        track = ("made.crops.safetensors",) if self.words.startswith("crop ") else ()
        return (self.output, *track)

    def argv(self, room: Path, output: str = "", *more: str) -> list[str]:
        """Return the command line with the material of a room."""
        words = [str(room / w) if (room / w).is_file() else w for w in self.words.split()]
        lossless = ["--codec", "ffv1"] if (output or self.output).endswith(".mkv") else []
        return [*words, "-o", output or self.output, *lossless, *more]


VERBS = {
    "reenact": Verb("reenact face.png clip.mp4 --long-side 64"),
    "refine": Verb("refine clip.mp4 --engine blush"),
    "edit": Verb("edit clip.mp4 --engine dim --attr blush --batch-size 2"),
    "speak": Verb("speak face.png clip.mp4 --voice jaw --long-side 64"),
    "crop": Verb("crop clip.mp4 --size 64"),
    "paste": Verb("paste crops.mp4 clip.mp4"),
    "parse": Verb("parse clip.mp4 --kind overlay --batch-size 2"),
    "compare": Verb("compare clip.mp4 clip.mp4"),
    "warp": Verb("warp face.png a.motion.safetensors --long-side 64"),
    "encode": Verb("encode clip.mp4", ".motion.safetensors", False),
    "detect": Verb("detect clip.mp4", ".jsonl", False),
}


@contextmanager
def fake_backends() -> Iterator[None]:
    """Register the fakes of the verbs."""
    fakes = (
        (VOICES.rows, "jaw", "tests.pipeline.fake_voices:jaw", VOICES.rows["a2m"].reads),
        (
            STAGES["refiner"].rows,
            "blush",
            "tests.pipeline.fake_refiners:RedRefiner",
            ("refine",),
        ),
        (PAINTERS.rows, "dim", "tests.faults.commands:load_painter", ()),
    )
    for rows, name, maker, reads in fakes:
        rows[name] = Backend(maker, "a fake", reads=reads)
    try:
        yield
    finally:
        for rows, name, _, _ in fakes:
            del rows[name]


@contextmanager
def prepared_room(folder: Path) -> Iterator[Path]:
    """Yield a folder with the inputs of all verbs and a result of each, without extra threads.

    The results lie in `whole`; what an earlier call made in the folder is used again. Children are
    forked from here: every module is imported.
    """
    with without_threads(), fake_backends(), contextlib.redirect_stderr(io.StringIO()) as said:
        if not (folder / "complete").exists():
            _make_material(folder, said)
        yield folder


def _make_material(folder: Path, said: io.StringIO) -> None:
    Pillow.fromarray(photograph()[10:266, 95:351]).resize((128, 128)).save(folder / "face.png")
    write_face_clip(folder / "clip.mp4", FRAMES, tone=True, size=SIDE)
    (folder / "whole").mkdir()
    for words in (
        "crop clip.mp4 -o crops.mp4 --size 64",
        "encode clip.mp4 -o a.motion.safetensors",
    ):
        _require([_in(folder, word) for word in words.split()], said)
    for name, verb in VERBS.items():
        _require(verb.argv(folder, str(whole(folder, name))), said)
    (folder / "complete").touch()


def whole(room: Path, name: str) -> Path:
    """Return the result of an undisturbed run of a verb."""
    return room / "whole" / f"{name}{VERBS[name].ending}"


def _in(folder: Path, word: str) -> str:
    return str(folder / word) if "." in word and not word.startswith("-") else word


def _require(argv: list[str], said: io.StringIO) -> None:
    if run(argv) != 0:
        raise RuntimeError(f"{argv}: {said.getvalue()}")
