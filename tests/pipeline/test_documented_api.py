"""Examples of docs/python-api.md and examples/sepia-engine, run as written."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thcli
from tests.conftest import REPO
from tests.pipeline.conftest import Clip
from thcli.cli.app import run

PAGE = (REPO / "docs" / "python-api.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SEPIA = REPO / "examples" / "sepia-engine"


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_each_example_runs(
    number: int, portrait: Path, clip: Clip, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"face": str(portrait), "drive": str(clip("documented.mp4", 8))}
    exec(compile(EXAMPLES[number], f"python-api.md, example {number}", "exec"), names)


def test_the_page_names_what_there_is() -> None:
    """Each name in backquotes that looks like a public one is public."""
    named = {word for word in re.findall(r"`([A-Za-z]\w+)`", PAGE) if word[0].isupper()}
    assert named <= set(thcli.__all__)
    for verb in ("reenact", "refine", "edit", "speak", "speak_each", "compare", "iterate"):
        assert f"`{verb}`" in PAGE


@pytest.fixture
def sepia(tmp_path: Path, monkeypatch: Any) -> None:
    """Put the example package on the path as pip installs it, with its entry points."""
    project = tomllib.loads((SEPIA / "pyproject.toml").read_text("utf-8"))["project"]
    facts = tmp_path / "site" / f"sepia_engine-{project['version']}.dist-info"
    facts.mkdir(parents=True)
    name, version = project["name"], project["version"]
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n{key} = {value}\n" for group, g in groups for key, value in g.items()]
    (facts / "entry_points.txt").write_text("".join(lines))
    monkeypatch.syspath_prepend(str(facts.parent))
    monkeypatch.syspath_prepend(str(SEPIA))


@pytest.mark.usefixtures("sepia")
def test_an_engine_of_a_package_renders(
    portrait: Path, clip: Clip, tmp_path: Path, capsys: Any
) -> None:
    assert len((SEPIA / "sepia_engine.py").read_text("utf-8").splitlines()) <= 40
    assert run(["list", "engines", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["sepia"]["licence"] == "of sepia-engine" and rows["sepia"]["ready"] == "yes"
    out = str(tmp_path / "out.mkv")
    argv = ["reenact", str(portrait), str(clip("documented.mp4", 8)), "-o", out, "--codec", "ffv1"]
    assert run([*argv, "--engine", "sepia", "--quiet"]) == 0
    frames = [frame.pixels.astype(float) for frame in thcli.read_frames(out)]
    assert len(frames) == 8
    red, green, blue = (np.mean([frame[..., channel] for frame in frames]) for channel in range(3))
    assert red > green > blue  # sepia
    read = [*argv, "--engine", "sepia", "--quiet", "--overwrite"]
    assert run([*read, "--matte", "off"]) == 0  # what it declares is read
    assert run([*read, "--no-stitching"]) == 2
    assert "--no-stitching has no effect with engine sepia" in capsys.readouterr().err
    sys.modules.pop("sepia_engine", None)


def test_an_engine_that_nobody_has_is_refused_with_those_there_are(capsys: Any) -> None:
    assert run(["reenact", "a.png", "b.mp4", "--engine", "sepia"]) in (2, 3)
    with pytest.raises(thcli.UsageError, match="no engine named 'sepia'"):
        thcli.STAGES["engine"].backend("sepia")
