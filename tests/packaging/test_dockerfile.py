"""The Dockerfile names only what exists. Images are not built here."""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPO

TEXT = (REPO / "Dockerfile").read_text("utf-8")
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))
KNOWN = {"FROM", "RUN", "ENV", "WORKDIR", "COPY", "ARG", "USER", "VOLUME", "ENTRYPOINT", "CMD"}


def instructions() -> Iterator[tuple[str, str]]:
    """Yield (keyword, arguments), continued lines joined."""
    lines = [line for line in TEXT.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            keyword, _, rest = line.partition(" ")
            yield keyword, " ".join(rest.split())


def arguments(keyword: str) -> list[str]:
    """Return the arguments of all instructions of one kind."""
    return [rest for found, rest in instructions() if found == keyword]


def test_instructions_are_known_and_stages_exist_before_their_use() -> None:
    assert {keyword for keyword, _ in instructions()} <= KNOWN
    stages: list[str] = []
    for keyword, rest in instructions():
        if keyword == "FROM":
            base, _, name = rest.partition(" AS ")
            assert name and name not in stages
            assert base in stages or ":" in base
            stages.append(name)
        elif keyword == "COPY" and rest.startswith("--from="):
            assert rest.split()[0].removeprefix("--from=") in stages
    assert stages[-1] == "cpu" and "cuda" in stages  # the last one is built by default
    for target in re.findall(r"--target (\S+)", TEXT):
        assert target in stages


def test_copied_files_exist_and_reach_the_build() -> None:
    ignored = (REPO / ".dockerignore").read_text("utf-8").splitlines()
    assert ignored[0] == "*"
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        name
        for rest in arguments("COPY")
        if not rest.startswith("--from=")
        for name in rest.split()[:-1]
    }
    assert copied == kept and all((REPO / name).exists() for name in copied)


def test_the_package_finds_all_that_its_build_names() -> None:
    """Readme, licences, forced files and packages of pyproject.toml are copied."""
    copied = " ".join(arguments("COPY")).split()
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    patterns = [*PROJECT["project"]["license-files"], PROJECT["project"]["readme"]]
    for pattern in [*patterns, *wheel["packages"], *wheel["force-include"]]:
        assert any(fnmatch.fnmatch(name, pattern.split("/")[0]) for name in copied), pattern


def test_the_python_is_supported_and_the_entry_point_exists() -> None:
    version = re.search(r"^FROM python:(\d+)\.(\d+)", TEXT, re.MULTILINE)
    assert version is not None
    least = re.fullmatch(r">=(\d+)\.(\d+)", PROJECT["project"]["requires-python"])
    assert least is not None
    assert tuple(map(int, version.groups())) >= tuple(map(int, least.groups()))
    (entry,) = arguments("ENTRYPOINT")
    assert json.loads(entry)[0] in PROJECT["project"]["scripts"]
    for extra in re.findall(r"'\.\[(\w+)\]'", TEXT):
        assert extra in PROJECT["project"]["optional-dependencies"]


def test_variables_are_those_that_thcli_reads() -> None:
    sources = "".join(path.read_text("utf-8") for path in Path(REPO / "thcli").rglob("*.py"))
    for name in re.findall(r"THCLI_\w+", TEXT):
        assert f'"{name}"' in sources, name


def test_the_process_is_not_root_and_data_folders_are_its_own() -> None:
    order = [(keyword, rest) for keyword, rest in instructions()]
    user = order.index(("USER", "thcli"))
    assert any(keyword == "RUN" and "useradd" in rest for keyword, rest in order[:user])
    assert order.index(("WORKDIR", "/data")) > user
    volumes = arguments("VOLUME")
    assert volumes == ["/weights"] and "chown thcli /weights /data" in TEXT
