"""`thcli doctor`: packages, torchvision's operators, sizes and the exit code."""

from __future__ import annotations

import errno
import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from thcli.cli import doctor
from thcli.cli.app import run
from thcli.core.errors import DeviceError
from thcli.faces.adapters import torchvision_ops


@pytest.fixture
def checks(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs `thcli doctor --json` and gives exit code and checks."""

    def report() -> tuple[int, list[dict[str, Any]]]:
        code = run(["doctor", "--json"])
        return code, json.loads(capsys.readouterr().out)["checks"]

    return report


def test_each_check_has_the_same_fields(checks: Any) -> None:
    code, found = checks()
    assert code == 0
    assert all(set(c) == {"area", "state", "text", "remedy", "exit_code"} for c in found)
    texts = [c["text"] for c in found if c["area"] == "package"]
    assert any(text.startswith("torchvision ") for text in texts)
    assert [c["text"] for c in found if c["area"] == "disk" and "GB free" in c["text"]]


def test_httpx_is_checked_and_a_missing_package_is_a_problem(
    checks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name == "rich":
            raise PackageNotFoundError(name)
        return "9.9"

    monkeypatch.setattr(doctor, "version", version)
    needs = ["httpx>=0.27", "rich>=13", "pytest>=8; extra == 'dev'"]
    monkeypatch.setattr(doctor, "requires", lambda name: needs)
    code, found = checks()
    packages = {c["text"]: c for c in found if c["area"] == "package"}
    assert code == 6 and packages["rich is missing"]["remedy"] == "pip install rich"
    assert "httpx 9.9" in packages and not [text for text in packages if "pytest" in text]


@pytest.mark.parametrize(
    ("error", "text", "remedy"),
    [
        (DeviceError("torchvision does not fit.", "Install it."), "does not fit.", "Install it."),
        (
            ModuleNotFoundError("No module named 'torchvision'"),
            "torchvision cannot be imported: No module named 'torchvision'; "
            "the facexlib backends need it",
            "Install the torchvision of the same build as torch.",
        ),
    ],
)
def test_a_torchvision_that_does_not_import_is_a_note(
    error: Exception, text: str, remedy: str, checks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(torchvision_ops, "make_torchvision_importable", fail)
    code, found = checks()
    note = next(c for c in found if "torchvision" in c["text"])
    assert code == 0 and note["state"] == "note"
    assert text in note["text"] and note["remedy"] == remedy


def test_operators_that_do_not_run_are_a_note(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_ops.make_torchvision_importable()
    import torchvision

    def fail(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(torchvision.ops, "nms", fail)
    _, found = checks()
    note = next(c for c in found if c["text"].startswith("torchvision "))
    assert note["state"] == "note" and "its operators do not fit torch" in note["text"]


def test_absent_weights_have_a_size_and_a_command(
    checks: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    code, found = checks()
    note = next(c for c in found if c["text"].startswith("blazeface-short"))
    assert code == 0
    assert note["text"] == "blazeface-short: 230 kB, downloaded at first use"
    assert note["remedy"] == "thcli weights pull blazeface-short"


def _disk_is_read_only(**_: Any) -> Any:
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize("ready", [True, False])
def test_a_read_only_disk_is_named_and_is_enough_for_weights_that_are_there(
    checks: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ready: bool
) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", _disk_is_read_only)
    monkeypatch.setattr("thcli.weights.is_ready", lambda name: ready)
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    code, found = checks()
    cache, here = [c for c in found if c["area"] == "disk"]
    assert (code, cache["state"]) == ((0, "note") if ready else (5, "problem"))
    assert cache["text"].startswith(f"{tmp_path / 'cache'} cannot be written (Read-only file")
    assert cache["remedy"] == "Set THCLI_WEIGHTS to a folder that you may write."
    assert here["state"] == "note" and "(Read-only file system)" in here["text"]
    assert here["remedy"] == "Choose another folder with -o."


def test_a_file_in_the_place_of_the_weights_folder_is_a_problem(
    checks: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "file" / "weights"))
    code, found = checks()
    problem = next(c for c in found if c["state"] == "problem")
    assert code == 5 and f"({tmp_path / 'file'} is a file)" in problem["text"]


@pytest.mark.parametrize("call", ["read_text", "is_file"])
def test_weights_that_may_not_be_read_are_a_problem_and_the_report_goes_on(
    checks: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str
) -> None:
    read = getattr(Path, call)

    def refuse(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.is_relative_to(tmp_path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path, *args, **kwargs)

    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(Path, call, refuse)
    code, found = checks()
    problem = next(c for c in found if c["area"] == "weights")
    assert (code, problem["state"]) == (5, "problem")
    assert problem["text"].startswith(str(tmp_path))
    assert problem["text"].endswith(", of the weights' folder, cannot be read (no permission).")
    assert problem["remedy"].endswith("or set THCLI_WEIGHTS to another folder.")
    assert [c for c in found if c["area"] == "disk"]
