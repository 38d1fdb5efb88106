"""The web site of docs/: builds without a warning, and holds every command and public name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import thcli
from tests.conftest import REPO


def test_site_builds_without_warnings(tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(REPO)}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    commands = (site / "commands.html").read_text("utf-8")
    assert {"reenact", "speak", "edit", "refine"} <= set(re.findall(r'<h2 id="([a-z]+)"', commands))
    names = (site / "reference.html").read_text("utf-8")
    assert [name for name in ("FaceFinder", "iterate", "OutputOptions") if name not in names] == []
    assert thcli.OutputOptions.__module__ in names
