"""The one door: exit codes, stdout for results alone, one sentence for every failure."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import thcli
from thcli.cli.app import run
from thcli.core import errors


def test_version(capsys: Any) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"thcli {thcli.__version__}\n"


def test_help_names_every_command(capsys: Any) -> None:
    assert run(["--help"]) == 0
    said = capsys.readouterr().out
    for command in [
        "reenact",
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
        assert f"  {command}" in said
        assert run([command, "--help"]) == 0


@pytest.mark.parametrize(
    "argv", [[], ["weights"], ["nope"], ["reenact"], ["reenact", "a", "b", "--crf", "x"]]
)
def test_usage_errors(argv: list[str], capsys: Any) -> None:
    assert run(argv) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err


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
def test_every_error_has_its_code(
    error: type[errors.ThcliError], code: int, monkeypatch: Any, capsys: Any
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("Something is wrong.", "Do this.")

    monkeypatch.setattr("thcli.pipeline.compare.compare", fail)
    assert run(["compare", "a", "b"]) == code
    assert capsys.readouterr().err == "thcli: Something is wrong. Do this.\n"


def test_an_interruption_is_130(monkeypatch: Any, capsys: Any) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thcli.pipeline.compare.compare", interrupted)
    assert run(["compare", "a", "b"]) == 130
    assert capsys.readouterr().err == "thcli: interrupted.\n"


def test_a_bug_reaches_the_interpreter(monkeypatch: Any) -> None:
    def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("thcli.pipeline.compare.compare", bug)
    with pytest.raises(ZeroDivisionError):
        run(["compare", "a", "b"])


BUG = "import sys; from thcli import __main__ as m; from thcli.cli import app; app.run = lambda argv: 1 / 0; m.main()"


@pytest.mark.parametrize(("argv", "trace"), [([], False), (["--debug"], True)])
def test_a_bug_says_where_to_report_it(argv: list[str], trace: bool) -> None:
    done = subprocess.run([sys.executable, "-c", BUG, *argv], capture_output=True, text=True)
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) is trace
    assert ("report it" in done.stderr) is not trace


def test_sigterm_unwinds_like_ctrl_c(tmp_path: Path) -> None:
    code = "from thcli.cli.app import _terminable\nimport time\ntry:\n with _terminable():\n  print('up', flush=True); time.sleep(30)\nexcept KeyboardInterrupt:\n raise SystemExit(130)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
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
