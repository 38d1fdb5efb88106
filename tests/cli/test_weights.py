"""`thcli weights …`: what it prints, where, and its exit codes. The registry is the real one, the cache an empty folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from thcli import weights
from thcli.cli.weights import app
from thcli.core.errors import ThcliError, UsageError, WeightsError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setenv("THCLI_OFFLINE", "1")
    return tmp_path / "cache"


def run(*argv: str) -> int:
    """The exit code that `cli.run` would give."""
    try:
        typer.main.get_command(app).main(
            list(argv), prog_name="thcli weights", standalone_mode=False
        )
    except ThcliError as error:
        return error.exit_code
    return 0


def rows(text: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(text)["weights"]}


def test_list_shows_every_entry_with_its_state(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("list") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == list(weights.registry())
    states = {line[0]: line[4] for line in lines}
    assert (states["facemesh"], states["fomm-vox"], states["flame-2020"]) == (
        "at first use",
        "absent",
        "by hand",
    )
    assert [next(x for x in lines if "buffalo-l" in x[0])[i] for i in (0, 1, 3)] == [
        "insightface-buffalo-l",
        "288.6 MB",
        "restricted",
    ]


def test_list_json_and_licence(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--json", "--licence", "free") == 0
    found = rows(capsys.readouterr().out)
    assert found["facemesh"]["commercial"] and found["facemesh"]["state"] == "at first use"
    assert all(row["commercial"] for row in found.values()) and "fomm-vox" not in found


def test_offline_pull_exits_5_and_names_each_file(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pull", "--json") == 5
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    automatic = [e for e in weights.registry().values() if e.auto]
    assert len(report["failed"]) == len(automatic) and "--offline" in report["failed"][0]
    assert "0.2 MB from mediapipe==0.10.21 (Apache-2.0)" in captured.err
    assert run("pull", "facemesh", "--offline") == 5
    assert run("pull", "no-such-thing") == 2
    assert not cache.exists() or not list(cache.rglob("*.tflite"))


def test_pull_tells_restrictions_before_it_starts(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pull", "facevid2vid") == 5
    said = capsys.readouterr().err
    assert "2112.6 MB from huggingface.co (CC BY-NC 4.0; restricted use, read its terms)" in said


def test_a_users_checkpoint_is_imported_checked_located_and_removed(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "vox-cpk.pth.tar"
    torch.save(
        {"generator": {"w": torch.ones(2)}, "kp_detector": {"v": torch.zeros(1)}, "epoch": 1}, file
    )
    assert run("import", "fomm-vox", str(file)) == 5
    assert run("where", "fomm-vox") == 5
    assert run("import", "fomm-vox", str(file), "--trust") == 0
    capsys.readouterr()
    assert run("where", "fomm-vox") == 0
    where = Path(capsys.readouterr().out.strip())
    assert (
        where == cache / "fomm-vox" / "vox-cpk.pth.tar" and where.read_bytes() == file.read_bytes()
    )
    assert set(weights.load_tensors("fomm-vox", "numpy")) == {"generator.w", "kp_detector.v"}
    assert run("verify") == 0
    assert "fomm-vox\tready" in capsys.readouterr().out
    where.write_bytes(b"x")
    assert run("verify", "--json") == 5
    assert rows(capsys.readouterr().out)["fomm-vox"]["state"] == "altered"
    assert run("remove", "fomm-vox") == 0 and not where.exists()
    assert run("verify", "fomm-vox") == 5


def test_where_without_a_name_is_the_folder(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("where") == 0
    assert capsys.readouterr().out.strip() == str(cache)
    assert run("where", "--json") == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(cache)


@pytest.mark.parametrize(
    "argv", [("where", "nothing"), ("remove", "nothing"), ("import", "nothing", "x")]
)
def test_unknown_names_are_usage_errors(cache: Path, argv: tuple[str, ...]) -> None:
    assert run(*argv) == UsageError.exit_code


def test_missing_files_are_weights_errors(cache: Path, tmp_path: Path) -> None:
    assert run("import", "fomm-vox", str(tmp_path / "none")) == WeightsError.exit_code
