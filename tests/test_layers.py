"""The architecture as a test: modules import only upwards, engines never each other, and starting up stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import thcli

PACKAGE = Path(thcli.__file__).parent
LAYERS = (
    "core", "media", "weights", "faces", "motion", "audio", "diffusion", "engines", "refiners", "editors", "voices",
    "pipeline", "evaluate", "train", "cli",
)  # fmt: skip
SIBLINGS = ("engines", "refiners", "editors", "voices")  # rooms whose inhabitants may not know each other
SHARED_ROOMS = ("blocks",)  # except for these


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE)


def imports(path: Path) -> Iterator[str]:
    """Every thcli module that a file imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("thcli."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "thcli":
                yield from (f"thcli.{a.name}" for a in node.names)
            elif node.module and node.module.startswith("thcli."):
                yield node.module


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_upwards(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    for name in imports(path):
        target = name.split(".")[1:]
        if target[0] not in LAYERS:
            continue
        assert LAYERS.index(target[0]) <= LAYERS.index(parts[0]), f"{path} reaches down to {name}"
        if parts[0] in SIBLINGS and target[0] == parts[0] and len(target) > 1:
            own = parts[1].removesuffix(".py")
            assert target[1] == own or target[1] in SHARED_ROOMS, f"{path} reaches sideways to {name}"


def test_every_folder_is_a_layer() -> None:
    assert {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"} <= set(LAYERS)


@pytest.mark.parametrize("code", ["import thcli", "from thcli.cli.app import run; run(['--help'])"])
def test_start_is_light(code: str) -> None:
    probe = f"import sys; {code}; print([m for m in ('torch', 'av', 'cv2', 'numpy', 'scipy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"
