"""The architecture as tests: imports go upwards only, without circles, and starting is light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import thcli

PACKAGE = Path(thcli.__file__).parent
LAYERS = (
    "core",
    "media",
    "weights",
    "faces",
    "motion",
    "audio",
    "diffusion",
    "engines",
    "refiners",
    "editors",
    "voices",
    "pipeline",
    "evaluate",
    "train",
    "cli",
)
SIBLINGS = ("engines", "refiners", "editors", "voices")  # layers whose rooms ignore each other
SHARED_ROOMS = ("shared",)  # except for these
TABLES = ("backends.py", "catalogue.py")  # name their neighbours in order to load them
MOST_FILES = 20  # loose .py files in one folder
DOTTED = re.compile(r"thcli(\.[a-z_0-9]+)+(:\w+)?")


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE)


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {name_of(path) for path in modules()}


def imports(path: Path, *, strings: bool) -> Iterator[str]:
    """Yield every thcli module that a file imports, inside functions too.

    strings: also those that it names in a string, as tables of backends do.
    """
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("thcli."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            if module == "thcli" or module.startswith("thcli."):
                for alias in node.names:
                    inner = f"{module}.{alias.name}"
                    yield inner if inner in KNOWN else module
        elif strings and isinstance(node, ast.Constant) and DOTTED.fullmatch(str(node.value)):
            yield str(node.value).partition(":")[0]


def module_of(name: str) -> str:
    """Return the module that a dotted name lies in."""
    while name not in KNOWN and "." in name:
        name = name.rpartition(".")[0]
    return name


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_upwards(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    for name in imports(path, strings=True):
        target = name.split(".")[1:]
        if not target or target[0] not in LAYERS:
            continue
        assert LAYERS.index(target[0]) <= LAYERS.index(parts[0]), f"{path} reaches down to {name}"
        if parts[0] in SIBLINGS and target[0] == parts[0] and len(target) > 1:
            own = parts[1].removesuffix(".py")
            beside = target[1] == own or target[1] in SHARED_ROOMS
            assert beside or f"{target[1]}.py" in TABLES or parts[1] in TABLES, (
                f"{path} reaches sideways to {name}"
            )


def test_no_two_modules_import_each_other_in_a_circle() -> None:
    """Depth-first search over all imports, those inside functions included.

    Tables name their backends in strings and load them on demand: no circle at import.
    """
    graph = {
        name_of(p): {module_of(n) for n in imports(p, strings=False)} - {"thcli", name_of(p)}
        for p in modules()
    }
    finished: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above[above.index(module) :], module))
        if module not in finished:
            for other in sorted(graph.get(module, ())):
                visit(other, (*above, module))
            finished.add(module)

    for module in sorted(graph):
        visit(module, ())


def test_every_folder_is_a_layer() -> None:
    assert {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"} <= set(
        LAYERS
    )


@pytest.mark.parametrize("root", [PACKAGE, Path(__file__).parent], ids=["thcli", "tests"])
def test_no_folder_is_crowded(root: Path) -> None:
    folders = {p.parent for p in root.rglob("*.py")}
    crowded = {
        str(folder.relative_to(root)): count
        for folder in folders
        if (count := sum(p.name != "__init__.py" for p in folder.glob("*.py"))) > MOST_FILES
    }
    assert not crowded


@pytest.mark.parametrize("code", ["import thcli", "from thcli.cli.app import run; run(['--help'])"])
def test_start_is_light(code: str) -> None:
    heavy = ("torch", "av", "cv2", "numpy", "scipy")
    probe = f"import sys; {code}; print([m for m in {heavy} if m in sys.modules])"
    command = [sys.executable, "-c", probe]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_reenactment_imports_the_parts_of_scipy_on_first_use() -> None:
    slow = ("torch", "scipy.fft", "scipy.signal", "scipy.special", "scipy.ndimage")
    code = (
        f"import sys; import thcli.pipeline.reenact; print([m for m in {slow} if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_pictures_are_animated_without_torch_and_scipy() -> None:
    code = (
        "import sys; from thcli.core.options import MeshOptions, ReenactOptions, RunOptions;"
        "from thcli.engines.mesh import engine; from thcli.faces.parsing import graph;"
        "import thcli.pipeline.job.helper_main;"
        "options = ReenactOptions(mesh=MeshOptions(patches='all'));"
        "assert engine.load(RunOptions(), options).renderer; assert graph.load(RunOptions());"
        "print([m for m in ('torch', 'scipy') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"
