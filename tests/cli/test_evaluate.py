"""Tests of the eval commands: an existing report is kept, and nothing is measured first."""

from __future__ import annotations

from pathlib import Path

import pytest

from thcli.cli.app import run
from thcli.core.errors import OutputError, UsageError


@pytest.mark.parametrize(
    "command",
    [
        ["a2m", "no-folder"],
        ["speak", "no-folder"],
        ["identity", "no-folder"],
        ["parse", "no-folder"],
        ["steady"],
    ],
)
def test_an_existing_report_stays(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    report.write_text("mine")
    assert run(["eval", *command, "-o", str(report)]) == OutputError.exit_code
    assert "exists already" in capsys.readouterr().err
    assert report.read_text() == "mine"


@pytest.mark.parametrize("command", ["a2m", "speak"])
def test_an_option_of_another_voice_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", command, str(tmp_path), "--steps", "9"]) == UsageError.exit_code
    assert "--steps has no effect with voice a2m" in capsys.readouterr().err


def test_options_of_a_voice_are_refused_beside_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    command = ["eval", "speak", str(tmp_path), "--result", str(tmp_path), "--blink", "none"]
    assert run(command) == UsageError.exit_code
    assert "--blink has no effect with --result" in capsys.readouterr().err
