"""Outputs beside the result are checked before any work: --compare, --save-motion, and so on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.command_line import to_argv
from thcli.cli.app import run
from thcli.faces.tracking.track import Tracker

Clip = Callable[..., Path]
OTHERS = [
    ("reenact", "--compare", "b.mp4"),
    ("reenact", "--save-motion", "b.motion.safetensors"),
    ("edit", "--compare", "b.mp4"),
    ("edit", "--save-edit", "b.edit"),
    ("crop", "--crops", "b.crops.safetensors"),
]


@pytest.fixture(autouse=True)
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("a frame was tracked")

    monkeypatch.setattr(Tracker, "update", fail)


@pytest.fixture
def argv(portrait: Path, clip: Clip, tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function from a verb and more words to its command line, with the output a.mp4."""

    def make(verb: str, *more: object) -> list[str]:
        words: dict[str, list[object]] = {
            "reenact": [portrait, clip("ten.mp4", 10)],
            "edit": [clip("ten.mp4", 10), "--attr smile"],
            "crop": [clip("ten.mp4", 10)],
        }
        return to_argv(verb, *words[verb], "-o", tmp_path / "a.mp4", *more)

    return make


@pytest.mark.parametrize("dry_run", ["", "--dry-run"])
@pytest.mark.parametrize(("verb", "flag", "name"), OTHERS)
def test_an_existing_output_is_noticed_at_once(
    verb: str, flag: str, name: str, dry_run: str, argv: Any, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / name).write_bytes(b"mine")
    assert run(argv(verb, flag, tmp_path / name, *dry_run.split())) == 7
    assert f"{name} exists already" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("verb", "flag", "name"), OTHERS)
def test_a_missing_folder_is_noticed_at_once(
    verb: str, flag: str, name: str, argv: Any, tmp_path: Path
) -> None:
    assert run(argv(verb, flag, tmp_path / "nowhere" / name)) == 7
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["reenact", "edit"])
def test_two_outputs_with_one_name_are_refused(verb: str, argv: Any, tmp_path: Path) -> None:
    assert run(argv(verb, "--overwrite", "--compare", tmp_path / "a.mp4")) == 2
    assert not list(tmp_path.iterdir())


def test_a_comparison_needs_a_result_in_a_file(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    argv = to_argv(
        "reenact", portrait, clip("ten.mp4", 10), "-o -", "--compare", tmp_path / "b.mp4"
    )
    assert run(argv) == 2
