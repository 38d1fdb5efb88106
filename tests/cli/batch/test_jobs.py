"""Jobs of a batch: the same from every kind of file, and checked before any of them runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from thcli.cli.app import app
from thcli.cli.batch.jobs import expand_pattern, read_jobs
from thcli.core.errors import MediaError, UsageError

COMMANDS: Any = typer.main.get_command(app)
JOBS: list[dict[str, Any]] = [
    {"command": "reenact", "source": "a.png", "driving": "b.mp4", "output": "o.mp4", "crf": 20},
    {"command": "speak", "face": "a.png", "sounds": ["1.wav", "2.wav"], "output": "made/"},
    {"command": "edit", "name": "both", "video": "-v.mp4", "attr": ["beard", "old=0.5"]},
]
LINES = [
    "thcli reenact --output=o.mp4 --crf=20 -- a.png b.mp4",
    "thcli speak --output=made/ -- a.png 1.wav 2.wav",
    "thcli edit --attr=beard --attr=old=0.5 -- -v.mp4",
]


def read(folder: Path, name: str, text: str) -> list[Any]:
    (folder / name).write_text(text)
    return read_jobs(COMMANDS.commands, folder / name)


def as_toml(job: dict[str, Any]) -> str:
    return "[[job]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in job.items())


def as_csv(jobs: list[dict[str, Any]]) -> str:
    keys = list(dict.fromkeys(key for job in jobs for key in job))
    rows = [[job.get(key, "") for key in keys] for job in jobs]
    cells = [[";".join(c) if isinstance(c, list) else str(c) for c in row] for row in rows]
    return "\n".join(",".join(row) for row in [keys, *cells]) + "\n"


@pytest.mark.parametrize("suffix", ["toml", "jsonl", "csv"])
def test_same_jobs_from_every_kind_of_file(suffix: str, tmp_path: Path) -> None:
    texts = {
        "toml": "".join(as_toml(job) for job in JOBS),
        "jsonl": "".join(json.dumps(job) + "\n\n" for job in JOBS),
        "csv": as_csv(JOBS),
    }
    jobs = read(tmp_path, f"jobs.{suffix}", texts[suffix])
    assert [job.line() for job in jobs] == LINES
    assert [job.name for job in jobs] == ["1 reenact", "2 speak", "both"]
    assert [job.output for job in jobs] == ["o.mp4", "made/", None]
    assert jobs[1].inputs == ("a.png", "1.wav", "2.wav")
    assert jobs[0].flags == {"--resume", "--overwrite", "--device"}


def test_top_level_of_toml_serves_all_jobs(tmp_path: Path) -> None:
    text = 'command = "crop"\nsize = 64\noverwrite = true\n'
    text += '[[job]]\nvideo = "a.mp4"\noutput = "1.mp4"\n'
    text += '[[job]]\nvideo = "b.mp4"\noutput = "2.mp4"\nsize = 128\noverwrite = false\n'
    first, second = read(tmp_path, "jobs.toml", text)
    assert "--size=64" in first.argv and "--overwrite" in first.argv
    assert "--size=128" in second.argv and "--overwrite" not in second.argv


@pytest.mark.parametrize(
    ("command", "given", "shown"),
    [
        ("reenact", {"source": "a"}, "driving"),
        ("receive", {}, "stream"),
        ("speak", {"face": "a"}, "audio"),
    ],
)
def test_an_argument_has_the_name_that_the_help_shows(
    command: str, given: dict[str, Any], shown: str, tmp_path: Path
) -> None:
    job = {"command": command, **given, shown: "b.x", "output": "c.mp4"}
    (found,) = read(tmp_path, "jobs.jsonl", json.dumps(job))
    assert found.argv[-1] == "b.x"


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"command": "compare", "output": "b.mp4"}, "Missing argument"),
        ({"command": "crop", "video": "a", "output": "b", "colour": "red"}, "'colour'"),
        ({"command": "crop", "video": "a", "output": "b", "size": "wide"}, "wide"),
        ({"command": "crop", "video": "a", "output": "b", "overwrite": "maybe"}, "true or false"),
        ({"command": "reenact", "source": "a", "smile": 4}, "--smile must be within -1..1"),
        ({"command": "crop", "video": "a", "output": {"to": "b"}}, "no text or number"),
        ({"command": "crop", "video": "-", "output": "b.mp4"}, "standard stream"),
        ({"command": "crop", "video": "a", "output": "b", "json": True}, "--json"),
        ({"command": "crop", "video": "a", "output": "b", "quiet": True}, "--quiet"),
        ({"command": "weights", "output": "b"}, "'weights'"),
        ({"command": "batch", "jobs": "a.toml"}, "'batch'"),
        ({"video": "a"}, "names no command"),
        ({"command": "reenact", "driving": "a", "output": "b.mp4"}, "but not 'source'"),
        ({"command": "paste", "frames": "a", "output": "b.mp4"}, "but not 'crops'"),
    ],
)
def test_job_that_is_no_command_line(job: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path, "jobs.jsonl", json.dumps(job))
    assert said in str(error.value) and "ob 1" in str(error.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jobs.toml", "[[job]\n"),
        ("jobs.toml", "job = 3\n"),
        ("jobs.jsonl", "{\n"),
        ("jobs.jsonl", "[1]\n"),
        ("jobs.jsonl", f'{{"seed": {"9" * 5000}}}\n'),
        ("jobs.toml", f"seed = {'9' * 5000}\n"),
        ("jobs.csv", "command,video\ncrop\n"),
        ("jobs.csv", 'command,video\ncrop,"a\n'),
        ("jobs.csv", "command;video\ncrop;a.mp4\n"),
        ("jobs.toml", "# none\n"),
    ],
)
def test_file_that_holds_no_jobs(name: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read(tmp_path, name, text)


def test_broken_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Line 3"):
        read(tmp_path, "jobs.jsonl", '{"command": "crop", "video": "a"}\n\n{"command"\n')


def test_a_number_of_too_many_digits_is_named(tmp_path: Path) -> None:
    text = f'{{"command": "crop"}}\n{{"command": "crop", "seed": {"9" * 5000}}}\n'
    with pytest.raises(UsageError, match=r"Line 2 of the jobs is no JSON: a number is too long\."):
        read(tmp_path, "jobs.jsonl", text)
    with pytest.raises(UsageError, match=r"no valid TOML: a number is too long\."):
        read(tmp_path, "jobs.toml", f"seed = {'9' * 5000}\n")


@pytest.mark.parametrize("word", ["{numbr}", "{Stem}", "{STEM}", "{stem2}", "{number:03}"])
def test_unknown_placeholder_is_refused(word: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(UsageError, match="no placeholder"):
        expand_pattern(COMMANDS.commands, f"{tmp_path}/*.mp4", ["crop", "{}", "-o", f"{word}.mp4"])


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "toml"])
def test_a_byte_order_mark_is_left_out(suffix: str, tmp_path: Path) -> None:
    """Spreadsheets and Windows' editors write one."""
    text = {
        "csv": "command,video\ncrop,a.mp4\n",
        "jsonl": '{"command": "crop", "video": "a.mp4"}\n',
        "toml": '[[job]]\ncommand = "crop"\nvideo = "a.mp4"\n',
    }[suffix]
    (job,) = read(tmp_path, f"jobs.{suffix}", "\ufeff" + text)
    assert job.line() == "thcli crop -- a.mp4"


def test_missing_file_of_jobs(tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        read_jobs(COMMANDS.commands, tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"video": "b", "output": "./made/../o.mp4"}, "output"),
        ({"video": "b", "output": "p.mp4", "name": "one"}, "name"),
        ({"video": "a", "output": "o.mp4"}, "command line"),
    ],
)
def test_equal_jobs_are_refused(second: dict[str, Any], said: str, tmp_path: Path) -> None:
    first = {"command": "crop", "name": "one", "video": "a", "output": "o.mp4"}
    lines = [json.dumps(job) for job in (first, {"command": "crop", **second})]
    with pytest.raises(UsageError, match=f"Jobs 1 and 2 have the same {said}"):
        read(tmp_path, "jobs.jsonl", "\n".join(lines))


def test_pattern_makes_a_job_for_each_file(tmp_path: Path) -> None:
    for name in ("b.mp4", "a 1.mp4", "deep/c.mp4", "d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    template = ["crop", "{}", "-o", str(tmp_path / "{number}-{stem}.mkv")]
    jobs = expand_pattern(COMMANDS.commands, f"{tmp_path}/**/*.mp4", template)
    assert [job.argv[0] for job in jobs] == [
        str(tmp_path / name) for name in ("a 1.mp4", "b.mp4", "deep/c.mp4")
    ]
    assert [Path(str(job.output)).name for job in jobs] == ["1-a 1.mkv", "2-b.mkv", "3-c.mkv"]
    with_program = expand_pattern(COMMANDS.commands, str(tmp_path), ["thcli", *template])
    assert len(with_program) == 3  # a folder: the files in it
    with pytest.raises(MediaError):
        expand_pattern(COMMANDS.commands, f"{tmp_path}/*.avi", template)
    with pytest.raises(UsageError, match="names no file"):
        expand_pattern(COMMANDS.commands, f"{tmp_path}/b.mp4", ["crop", "x.mp4", "-o", "y.mp4"])
    with pytest.raises(UsageError, match="same output"):
        expand_pattern(COMMANDS.commands, f"{tmp_path}/*.mp4", ["crop", "{}", "-o", "y.mp4"])
