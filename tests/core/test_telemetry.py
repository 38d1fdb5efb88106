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


def test_a_network_leaves_no_files_of_telemetry(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for folder in folders.values():
        folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in QUIET}
    environment = kept | {name: str(folder) for name, folder in folders.items()}
    command = [sys.executable, "-P", "-c", NETWORK]
    done = subprocess.run(
        command,
        env=environment | {"PYTHONPATH": str(REPO)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[-1.0, -2.0]\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_users_decide_themselves() -> None:
    code = "import os, thcli; print(*(os.environ[name] for name in {!r}))"
    names = ("ORT_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    for given, expected in (({}, "1 0\n"), (dict.fromkeys(names, "user"), "user user\n")):
        done = subprocess.run(
            [sys.executable, "-P", "-c", code.format(names)],
            env=kept | given | {"PYTHONPATH": str(REPO)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == expected
