"""`cli.run`: exit codes, results on stdout, one message per failure on stderr."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import thcli
from thcli.__main__ import main
from thcli.cli.app import run
from thcli.core import errors, events
from thcli.pipeline.job.job import Report


def test_version(capsys: Any) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"thcli {thcli.__version__}\n"


def test_help_names_every_command(capsys: Any) -> None:
    assert run(["--help"]) == 0
    output = capsys.readouterr().out
    for command in [
        "reenact",
        "batch",
        "detect",
        "track",
        "crop",
        "align",
        "parse",
        "encode",
        "warp",
        "paste",
        "compare",
        "bench",
        "list",
        "doctor",
        "demo",
        "eval",
        "weights",
    ]:
        assert f"│ {command} " in output
        assert run([command, "--help"]) == 0


@pytest.mark.parametrize(
    "argv", [[], ["weights"], ["nope"], ["reenact"], ["reenact", "a", "b", "--crf", "x"]]
)
def test_usage_errors(argv: list[str], capsys: Any) -> None:
    assert run(argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError, 2),
        (errors.MediaError, 3),
        (errors.NoFaceError, 4),
        (errors.WeightsError, 5),
        (errors.DeviceError, 6),
        (errors.OutputError, 7),
    ],
)
def test_every_error_has_its_exit_code(
    error: type[errors.ThcliError], code: int, monkeypatch: Any, capsys: Any
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("Something is wrong.", "Do this.")

    monkeypatch.setattr("thcli.pipeline.compare.compare", fail)
    assert run(["compare", "a", "b"]) == code
    assert capsys.readouterr().err == "thcli: Something is wrong. Do this.\n"


def test_with_json_a_failure_is_an_object(monkeypatch: Any, capsys: Any) -> None:
    def fail(*_: object, **__: object) -> None:
        raise errors.NoFaceError("There is no face.", "Give another.")

    monkeypatch.setattr("thcli.pipeline.compare.compare", fail)
    assert run(["compare", "a", "b", "--json"]) == 4
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "command": "compare",
        "error": "NoFaceError",
        "message": "There is no face.",
        "hint": "Give another.",
        "exit_code": 4,
    }
    assert err == "thcli: There is no face. Give another.\n"
    assert run(["compare", "a", "--crf", "x", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"] == "UsageError"


def test_progress_as_json_lines(monkeypatch: Any, capsys: Any) -> None:
    def compare(inputs: Any, output: Any, options: Any, on: events.Listener) -> Report:
        for event in (
            events.Started("render", 2),
            events.Step("render", 1),
            events.Warned("Check the result."),
            events.Finished("render", 2, 0.5),
        ):
            on(event)
        return Report("compare", Path("both.mp4"), 2)

    monkeypatch.setattr("thcli.pipeline.compare.compare", compare)
    assert run(["compare", "a", "b", "--json", "--progress", "json"]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in err.splitlines()]
    assert [row["event"] for row in rows] == ["started", "step", "warned", "finished"]
    assert rows[0] == {"event": "started", "stage": "render", "total": 2, "unit": "frames"}
    report = json.loads(out)
    assert report["output"] == "both.mp4" and report["warnings"] == ["Check the result."]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["reenact", "a.png", "b.png", "c.mp4"], "(c.mp4). Further pictures of the person are "),
        (["refine", "a.mp4", "b.mp4"], "(b.mp4). Try 'thcli refine --help'.\n"),
        (["reenact", "a.png", "--smile", "much"], "as a number. Try 'thcli reenact --help'.\n"),
    ],
)
def test_usage_errors_are_a_sentence_with_its_remedy(
    argv: list[str], said: str, capsys: Any
) -> None:
    assert run(argv) == 2
    assert said in capsys.readouterr().err


def test_the_list_of_attributes_names_the_shapes_of_frames(capsys: Any) -> None:
    assert run(["list", "attributes"]) == 0
    (line,) = [row for row in capsys.readouterr().out.splitlines() if row.startswith("eyeglasses")]
    assert "eyeglasses:round, :square, :aviator" in line
    assert run(["list", "attributes", "--json"]) == 0
    rows = {row["name"]: row["shapes"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["sunglasses"] == ["round", "square", "aviator"] and rows["beard"] == []


def test_each_command_shows_an_example(capsys: Any) -> None:
    for command in ("reenact", "refine", "edit", "speak", "crop", "list"):
        assert run([command, "--help"]) == 0
        assert f"thcli {command} " in capsys.readouterr().out.partition("Examples:")[2]


def test_help_has_a_panel_for_each_group_of_options(capsys: Any) -> None:
    assert run(["speak", "--help"]) == 0
    output = capsys.readouterr().out
    assert output.count("╭─ ") > 5
    words = " ".join(output.replace("│", " ").split())
    assert "One of all, expression, pose, lips, eyes." in words
    for flag in ("│ --motion ", "--retarget-eyes", "--retarget-lips", "--causal"):
        assert flag not in output  # not supported by voices


def test_an_interruption_is_130(monkeypatch: Any, capsys: Any) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thcli.pipeline.compare.compare", interrupted)
    assert run(["compare", "a", "b"]) == 130
    assert capsys.readouterr().err == "thcli: interrupted.\n"


def test_an_interruption_while_modules_are_loaded_is_130(monkeypatch: Any, capsys: Any) -> None:
    class Loading:
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "thcli.cli.app", Loading())
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "thcli: interrupted.\n"


def test_a_bug_reaches_the_interpreter(monkeypatch: Any) -> None:
    def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("thcli.pipeline.compare.compare", bug)
    with pytest.raises(ZeroDivisionError):
        run(["compare", "a", "b"])


BUG = """
from thcli import __main__
from thcli.cli import app
app.run = lambda argv: 1 / 0
__main__.main()
"""


@pytest.mark.parametrize(("argv", "traceback"), [([], False), (["--debug"], True)])
def test_a_bug_has_a_hint_or_a_traceback(argv: list[str], traceback: bool) -> None:
    done = subprocess.run([sys.executable, "-c", BUG, *argv], capture_output=True, text=True)
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) is traceback
    assert ("report it" in done.stderr) is not traceback


NOISE = """
import logging, warnings
from thcli import __main__
from thcli.cli import app
def noisy(argv):
    warnings.warn("a damaged tag")
    logging.getLogger("PIL.TiffImagePlugin").error("a record of a library")
    logging.getLogger("thcli.faces").warning("a record of thcli")
    return 0
app.run = noisy
__main__.main()
"""


@pytest.mark.parametrize(("argv", "shown"), [([], False), (["--debug"], True)])
def test_libraries_are_silent_and_thcli_is_not(argv: list[str], shown: bool) -> None:
    done = subprocess.run([sys.executable, "-c", NOISE, *argv], capture_output=True, text=True)
    assert done.returncode == 0
    assert ("a damaged tag" in done.stderr) is shown
    assert ("a record of a library" in done.stderr) is shown
    assert done.stderr.count("a record of thcli") == 1


TERMINABLE = """
import time
from thcli.cli.app import _terminable
try:
    with _terminable():
        print("up", flush=True)
        time.sleep(30)
except KeyboardInterrupt:
    raise SystemExit(130)
"""


def test_help_wraps_paragraphs_keeps_brackets_and_shows_switches_without_a_value(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["batch", "--help"]) == 0
    output = capsys.readouterr().out
    assert "thcli[ray]" in output
    assert "well, 11 when one job failed" in output
    assert "bool" not in output
    assert "Examples:\n thcli batch jobs.toml" in "\n".join(map(str.rstrip, output.splitlines()))


def test_sigterm_unwinds_like_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TERMINABLE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 130


def test_list_and_doctor_as_json(capsys: Any) -> None:
    assert run(["list", "engines", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {"mesh"} <= {row["name"] for row in rows}
    assert all(row["licence"] for row in rows)
    assert run(["list", "voice", "--json"]) == 0
    voices = json.loads(capsys.readouterr().out)["rows"]
    assert run(["list", "voices", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == voices
    assert run(["list", "nothing"]) == 2
    capsys.readouterr()
    assert run(["doctor", "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert {"python", "package", "codecs", "device", "weights", "disk"} <= {
        check["area"] for check in checks
    }
