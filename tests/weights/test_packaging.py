"""Metadata of the package: licences of the bundled weights, and lower bounds of dependencies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from thcli import weights
from thcli.weights.store import BUNDLED

ROOT = Path(__file__).parents[2]
RESEARCH = "LicenseRef-thcli-research-weights"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def bundled_rows() -> dict[str, weights.WeightsEntry]:
    """Return the rows of bundled weights by file name."""
    return {
        source.removeprefix("bundled:"): entry
        for entry in weights.registry().values()
        for source in entry.sources
        if source.startswith("bundled:")
    }


def test_each_bundled_file_has_a_row() -> None:
    assert {p.name for p in BUNDLED.iterdir() if p.is_file()} == set(bundled_rows())


def test_the_licence_expression_covers_all_bundled_weights(project: dict[str, Any]) -> None:
    parts = project["license"].split(" AND ")
    assert parts[0] == "Apache-2.0" and RESEARCH in parts
    free = {entry.licence for entry in bundled_rows().values() if entry.commercial}
    assert free <= set(parts)


def test_the_wheel_has_the_licence_texts(project: dict[str, Any]) -> None:
    assert set(project["license-files"]) == {"LICENSE", "NOTICE", "LICENSES/*"}
    texts = {path.name for path in (ROOT / "LICENSES").iterdir()}
    assert texts == {f"{RESEARCH}.txt", "BSD-2-Clause-pocketsphinx.txt"}


def test_the_research_licence_names_each_restricted_file_and_its_terms() -> None:
    text = " ".join((ROOT / "LICENSES" / f"{RESEARCH}.txt").read_text("utf-8").split())
    for file, entry in bundled_rows().items():
        section = f"thcli/weights/bundled/{file} "
        assert (section in text) != entry.commercial, file
        if not entry.commercial:
            terms = text.partition(section)[2].partition("thcli/weights/bundled/")[0]
            assert f"Terms: {entry.licence}" in terms, file


def test_the_notice_names_files_that_exist_and_each_free_bundled_one() -> None:
    text = (ROOT / "NOTICE").read_text("utf-8")
    paths = re.findall(r"(?<![\w/])thcli/[\w./*-]+\w", text)
    assert paths and all(list(ROOT.glob(path)) for path in paths)
    for file, entry in bundled_rows().items():
        assert (f"bundled/{file}" in text) == entry.commercial, file


def test_the_oldest_versions_tested_are_the_lower_bounds(project: dict[str, Any]) -> None:
    lines = (ROOT / "constraints-lowest.txt").read_text("utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    bounds = dict(requirement.split(">=") for requirement in project["dependencies"])
    assert set(tested) == set(bounds)
    for name, bound in bounds.items():
        parts = bound.partition(",")[0].split(".")  # what follows leaves a release out
        assert tested[name].split(".")[: len(parts)] == parts, name
        assert set(tested[name].split(".")[len(parts) :]) <= {"0"}, name
