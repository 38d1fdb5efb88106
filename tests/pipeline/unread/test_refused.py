"""Options that a backend does not read, or that do nothing in a job: refused before any work."""

from __future__ import annotations

import json
import operator
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

import thcli
from tests.conftest import REPO
from tests.pipeline.command_line import to_argv
from tests.pipeline.conftest import Clip
from tests.pipeline.unread.recorder import changed
from thcli.cli.app import run
from thcli.core.errors import DeviceError, UsageError
from thcli.core.options import (
    EditOptions,
    OutputOptions,
    ReenactOptions,
    RefineJobOptions,
    RunOptions,
    SpeakOptions,
    changed_options,
)
from thcli.editors.edit_file import EditFile, save
from thcli.engines.backends import ENGINES
from thcli.motion.file.writer import MotionWriter
from thcli.pipeline import edit, reenact, refine
from thcli.pipeline.editing.request import parse_request
from thcli.pipeline.option_table import CHOICES, OptionRow, option_rows
from thcli.weights.backend import Backend, Stage, refuse_unread_options

ROWS = option_rows()
PAIRS = [(row, name) for row in ROWS for name in row.backends]


class LoadedError(Exception):
    """Raised in place of loading a backend: the check has let the options pass."""


@pytest.fixture
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*given: Any) -> None:
        raise LoadedError

    for module, name in ((reenact, "FaceFinder"), (refine, "RefinePass")):
        monkeypatch.setattr(getattr(module, name), "load", load)
    monkeypatch.setattr(edit, "plan_steps", load)
    monkeypatch.setattr("thcli.weights.backend.Backend.load", load)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "tone.wav"
    wavfile.write(path, 16000, (9000 * np.sin(np.arange(8000) * 0.3)).astype(np.int16))
    return path


def run_verb(row: OptionRow, name: str, portrait: Path, clip: Path, speech: Path) -> None:
    """Run the verb of an option with a backend and another value than the default."""
    out = clip.with_name("never.mp4")
    if row.command == "reenact":
        source = clip if row.path == "liveportrait.keep_eyes" else portrait
        thcli.reenact(source, clip, out, changed(ReenactOptions(engine=name), row.path))
    elif row.command == "speak":
        thcli.speak(portrait, speech, out, changed(SpeakOptions(voice=name), row.path))
    elif row.command == "refine":
        thcli.refine(clip, out, changed(RefineJobOptions(engine=name), row.path))
    else:
        words = row.path == "text_model" or row.path.startswith("words.")
        options = EditOptions(engine=name, attr=["smiling"])
        if words and row.backends[name]:
            options = EditOptions(engine=name, text="a smiling face")
        thcli.edit(clip, out, changed(options, row.path))


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize(
    ("row", "name"), PAIRS, ids=[f"{row.command} {row.flag} {name}" for row, name in PAIRS]
)
def test_each_pair_is_read_or_refused(
    row: OptionRow, name: str, portrait: Path, clip: Clip, speech: Path
) -> None:
    paths = portrait, clip("eight.mp4", 8), speech
    if row.backends[name]:
        with pytest.raises(LoadedError):
            run_verb(row, name, *paths)
        return
    with pytest.raises(UsageError) as caught:
        run_verb(row, name, *paths)
    assert re.search(r"--[a-z-]+ has no effect with", caught.value.message)
    if not row.path.startswith(("words.", "text_model")):  # --text is missing
        readers = [other for other, read in row.backends.items() if read]
        assert all(other in caught.value.hint for other in readers)


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize("dry", [False, True])
def test_a_dry_run_refuses_too(dry: bool, portrait: Path, clip: Clip, tmp_path: Path) -> None:
    options = changed(ReenactOptions(dry_run=dry), "liveportrait.stitching")
    with pytest.raises(UsageError, match="--no-stitching has no effect with engine mesh"):
        thcli.reenact(portrait, clip("eight.mp4", 8), tmp_path / "out.mp4", options)


def motion_file(folder: Path) -> Path:
    from tests.motion.synthetic_motion import driver

    path = folder / "head.motion.safetensors"
    with MotionWriter(path, {}) as writer:
        writer.append(driver(8))
    return path


CASES = {
    "reenact PORTRAIT CLIP --source-time 1": "--source-time has no effect on .* an image",
    "reenact PORTRAIT MOTION --face 1": "--face has no effect with .* a motion file already",
    "reenact PORTRAIT MOTION --save-motion KEPT": "--save-motion has no effect",
    "reenact PORTRAIT CLIP --engine liveportrait --keep-eyes": "--keep-eyes has no effect on",
    "reenact PORTRAIT CLIP --engine liveportrait --close-lips --motion absolute": "--close-lips",
    "reenact PORTRAIT CLIP --engine liveportrait --close-lips --retarget-lips": "--close-lips",
    "reenact PORTRAIT CLIP --engine liveportrait --retarget-eyes --yaw 9": "--yaw has no effect",
    "reenact PORTRAIT CLIP --engine fomm --matte off --dry-run": "--matte .* engine fomm",
    "warp PORTRAIT MOTION --stitching --no-stitching": "--no-stitching .* engine mesh",
    "speak PORTRAIT SPEECH --voice dh-s --matte off": "--matte .* voice dh-s",
    "speak PORTRAIT SPEECH --voice diffused-heads --strength 2": "--strength .* renders the face",
    "speak PORTRAIT SPEECH --voice dh-s --long-side 99": "--long-side .* voice dh-s",
    "speak PORTRAIT SPEECH --no-level --loudness -20": "--loudness .* --no-level",
    "speak PORTRAIT SPEECH --source-time 1": "--source-time has no effect on",
    "speak PORTRAIT SPEECH -o MOTION --framing crop": "--framing .* motion alone",
    "refine CLIP --parser facexlib": "--parser has no effect with --background refine",
    "refine CLIP --sampler ddpm --eta 0.5": "--sampler must be ddim with --eta",
    "edit CLIP --attr smiling --neutral person": "--neutral has no effect without --text",
    "edit CLIP --attr smiling --iterations 9": "--iterations has no effect without --text",
    "edit CLIP --attr smiling --motion-from CLIP": "--motion-from .* with editor atlas",
    "edit CLIP --identity-from CLIP --strength 2": "--strength has no effect without --attr",
    "edit CLIP --identity-from CLIP --save-edit KEPT.edit": "--save-edit stores no parts",
    "edit CLIP --attr smiling --steps 9": "--steps has no effect with editor atlas",
    "paste CLIP CLIP --crops KEPT --parser facexlib": "--parser has no effect with --mask face",
    "parse PORTRAIT -o KEPT.png --opacity 0.3": "--opacity has no effect with --kind labels",
    "crop CLIP -o KEPT/ --crf 20": "--crf has no effect with the output",
    "edit PORTRAIT --attr smiling -o KEPT.png --fps 5": "--fps has no effect with the output",
    "reenact PORTRAIT CLIP -o KEPT.gif --preset slow": "--preset has no effect with the output",
    "reenact PORTRAIT CLIP -o KEPT.gif --audio source": "--audio has no effect with the output",
    "reenact PORTRAIT CLIP --compare KEPT.gif --crf 20": "--crf has no effect with the output",
    "reenact PORTRAIT CLIP -o KEPT.mkv --codec ffv1 --crf 20": "--crf .* encoder ffv1",
    "crop CLIP -o KEPT.mov --codec prores --preset slow": "--preset .* encoder prores_ks",
}


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize("line", CASES)
def test_an_option_that_does_nothing_in_this_job_is_refused(
    line: str, portrait: Path, clip: Clip, speech: Path, tmp_path: Path, capsys: Any
) -> None:
    words = {
        "PORTRAIT": portrait,
        "CLIP": clip("eight.mp4", 8),
        "SPEECH": speech,
        "MOTION": motion_file(tmp_path),
        "KEPT": tmp_path / "kept",
    }
    text = line
    for word, path in words.items():
        text = text.replace(word, str(path))
    if "paste" in line or "-o MOTION" in line:
        (tmp_path / "kept").write_bytes(b"")
    assert run(text.split()) == 2
    assert re.search(CASES[line], capsys.readouterr().err.replace("\n", " "))
    assert not list(tmp_path.glob("kept.*"))


VERBS = {
    "reenact": "PORTRAIT CLIP",
    "refine": "CLIP",
    "edit": "CLIP --attr smiling",
    "speak": "PORTRAIT SPEECH",
    "detect": "PORTRAIT",
    "track": "CLIP",
    "fit": "CLIP",
    "crop": "CLIP",
    "align": "PORTRAIT",
    "parse": "PORTRAIT",
    "encode": "CLIP",
    "warp": "PORTRAIT MOTION",
    "paste": "CLIP CLIP --crops NOWHERE",
}


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize("dry", ["", "--dry-run"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_device_that_does_not_exist_is_refused_by_every_verb(
    verb: str, dry: str, portrait: Path, clip: Clip, speech: Path, tmp_path: Path, capsys: Any
) -> None:
    paths = {"PORTRAIT": portrait, "CLIP": clip("eight.mp4", 8), "SPEECH": speech}
    paths["MOTION"] = motion_file(tmp_path)
    words = [paths.get(word, word) for word in VERBS[verb].split()]
    out = tmp_path / ("out.csv" if verb == "fit" else "out.png" if verb == "align" else "out.mp4")
    argv = to_argv(verb, *words, "-o", out, "--device cuda:99", *dry.split())
    assert run(argv) == DeviceError.exit_code
    assert "cuda:99" in capsys.readouterr().err and not out.exists()


def test_each_pair_is_in_the_table_of_the_page() -> None:
    """docs/options.md has the table that `thcli list options` prints, as a matrix per command."""
    page = (REPO / "docs" / "options.md").read_text("utf-8")
    for command in dict.fromkeys(row.command for row in ROWS):
        assert matrix([row for row in ROWS if row.command == command]) in page, command


def matrix(rows: list[OptionRow]) -> str:
    """Return the Markdown table of one command."""
    names = list(rows[0].backends)
    lines = [["option", *names], ["---"] * (len(names) + 1)]
    lines += [
        [f"`{r.flag}`", *("read" if r.backends[n] else "refused" for n in names)] for r in rows
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def test_the_list_of_options_is_the_table(capsys: Any) -> None:
    assert run(["list", "options", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["command"], row["flag"]) for row in listed] == [(r.command, r.flag) for r in ROWS]
    assert all(row["read_by"] for row in listed)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.command} {row.flag}" for row in ROWS])
def test_help_names_the_backends_where_not_all_read_an_option(row: OptionRow) -> None:
    """They stand in the help text, or in the title of the option's panel."""
    options = {command: one for command, one, _ in CHOICES}[row.command]
    folder, _, name = row.path.rpartition(".")
    owner = operator.attrgetter(folder)(options) if folder else options
    item = {field.name: field for field in fields(owner)}[name]
    text = f"{(type(owner).__doc__ or '').splitlines()[0]} {item.metadata['help']}".lower()
    families = {name.partition("-")[0] for name, read in row.backends.items() if read}
    if all(row.backends.values()):
        return
    assert all(re.search(rf"\b{family}\b", text) for family in families), (text, families)


def test_an_edit_file_of_another_editor(tmp_path: Path) -> None:
    path = tmp_path / "beard.edit.safetensors"
    step = np.zeros(4, np.float32)
    save(path, EditFile(step=step, editor="dva-s", fingerprint="a" * 64, target="a beard"))
    with pytest.raises(UsageError, match="is an edit of dva-s, not of drawn"):
        parse_request(EditOptions(edit=path, engine="drawn"))


def factory(run: RunOptions, options: Any) -> str:
    """Stand in for an engine of another package."""
    return "engine"


def test_an_engine_of_another_package_declares_by_its_factory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = {"outside": Backend(f"{__name__}:factory", "of another package")}
    monkeypatch.setattr(Stage, "all", lambda self: {**self.rows, **rows})
    monkeypatch.setattr(Backend, "import_factory", lambda self: factory)
    turned = changed(ReenactOptions(), "view.yaw")
    with pytest.raises(UsageError, match="outside"):
        refuse_unread_options(turned, ["outside"], ENGINES)
    monkeypatch.setattr(factory, "reads", ("view",), raising=False)
    refuse_unread_options(turned, ["outside"], ENGINES)


def test_options_that_were_given_have_their_flags() -> None:
    options = ReenactOptions(output=OutputOptions(crf=20, overwrite=True))
    options = replace(options, faces=replace(options.faces, select="1"))
    found = dict(changed_options(options))
    assert found == {
        "output.crf": "--crf",
        "output.overwrite": "--overwrite",
        "faces.select": "--face",
    }
    assert dict(changed_options(changed(options, "liveportrait.stitching")))[
        "liveportrait.stitching"
    ] == ("--no-stitching")
