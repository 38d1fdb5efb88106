"""`thcli doctor`: packages, torchvision's operators, sizes and the exit code."""

from __future__ import annotations

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
