"""Libraries report nothing to their makers, and leave nothing on the user's disk for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPO

NETWORK = """
import numpy as np
from onnx import TensorProto, helper
from thcli.core.onnx.sessions import open_session

rows = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negate", rows[:1], rows[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = open_session(model.SerializeToString(), "negate")
print(session.run(None, {"x": np.float32([1, 2])})[0].tolist())
"""
# Where onnxruntime stays quiet by itself, and what a user would set
QUIET = ("CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")


def run(code: str, without: tuple[str, ...], given: dict[str, str], folder: Path) -> str:
    """Run a program in a process of its own and return what it prints.

    without: variables that its environment lacks.  given: those that it has.
    """
    kept = {name: value for name, value in os.environ.items() if name not in without}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=kept | given | {"PYTHONPATH": str(REPO)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_network_leaves_no_files_of_telemetry(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for folder in folders.values():
        folder.mkdir()
    given = {name: str(folder) for name, folder in folders.items()}
    assert run(NETWORK, QUIET, given, tmp_path) == "[-1.0, -2.0]\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_users_decide_themselves(tmp_path: Path) -> None:
    names = ("ORT_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED")
    code = f"import os, thcli; print(*(os.environ[name] for name in {names}))"
    assert run(code, names, {}, tmp_path) == "1 0\n"
    assert run(code, names, dict.fromkeys(names, "user"), tmp_path) == "user user\n"
