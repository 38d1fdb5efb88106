"""One command in a forked child with limits: time, memory, files, and what it may call."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.forks import fork, stacks_of, wait
from tests.fuzz.seeds import Kit
from thcli.__main__ import silence_libraries
from thcli.cli.app import run
from thcli.pipeline.render.helpers import without_helpers
from thcli.weights.manage import cache_folder

CODES = (0, 2, 3, 4, 5, 6, 7)
WALL_SECONDS = 90.0  # on a busy machine
CPU_SECONDS = 40
MEMORY = 3 << 30  # bytes beyond what the parent has
FILE_BYTES = 64 << 20
FORBIDDEN = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "socket.connect",
    "pty.spawn",
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@dataclass(frozen=True)
class Outcome:
    """Result of one command. wrong: what it did against the contract, "" for nothing."""

    code: int
    wrong: str
    said: str


def command(kind: str, path: Path, kit: Kit, chance: random.Random) -> list[str]:
    """Return the command line that reads a file of a kind; its outputs go below `out`."""
    out = path.parent / "out"
    one, face = str(path), str(kit.face)
    pick = chance.random()
    if kind == "video":
        if pick < 0.45:
            return ["compare", one, str(kit.clip), "-o", f"{out}/o.mp4"]
        if pick < 0.85:
            return ["detect", one, "-o", f"{out}/o.jsonl"]
        if pick < 0.93:
            return ["crop", one, "-o", f"{out}/o.mp4", "--size", "64"]
        return ["reenact", face, one, "-o", f"{out}/o.mp4", "--long-side", "64"]
    if kind == "image":
        if pick < 0.7:
            return ["detect", one, "-o", f"{out}/o.jsonl"]
        if pick < 0.9:
            return ["align", one, "-o", f"{out}/faces/", "--size", "64"]
        return ["warp", one, str(kit.motion), "-o", f"{out}/o.mp4", "--long-side", "64"]
    if kind == "sound":
        return ["speak", face, one, "-o", f"{out}/o.motion.safetensors"]
    if kind == "motion":
        return ["warp", face, one, "-o", f"{out}/o.mp4", "--long-side", "64"]
    if kind == "stream":
        pictures = path.stem == "b"
        words = [one] if pictures else [face, one]
        return ["receive", *words, "-o", f"{out}/o.mp4"]
    if kind == "crops":
        return ["paste", str(kit.crops), str(kit.clip), "--crops", one, "-o", f"{out}/o.mp4"]
    if kind == "edit":
        return ["edit", str(kit.clip), "--edit", one, "-o", f"{out}/o.mp4"]
    if kind == "config":
        return ["compare", str(kit.clip), str(kit.clip), "-o", f"{out}/o.mp4", "--config", one]
    return ["weights", "import", path.stem, one, "--trust"]


def execute(kind: str, name: str, content: bytes, kit: Kit, seed: int) -> Outcome:
    """Run the command of a kind on a content in a forked child."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        for part in ("out", "tmp", "weights"):
            (folder / part).mkdir()
        path = folder / name
        path.write_bytes(content)
        argv = command(kind, path, kit, random.Random(seed))
        child = fork(folder, WALL_SECONDS)
        if child == 0:
            _become(argv, folder, isolated_weights=kind == "weights")
        status = wait(child, WALL_SECONDS)
        return _judge(status, stacks_of(child, folder), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _become(argv: list[str], folder: Path, *, isolated_weights: bool) -> None:
    """Run the command as the child and end the process."""
    code = 1
    try:
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), number)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
        if isolated_weights:
            os.environ["THCLI_WEIGHTS"] = str(folder / "weights")
        os.chdir(folder / "out")
        sys.warnoptions.clear()
        silence_libraries()  # as the command does; pytest's filters turn warnings into errors
        _limit()
        sys.addaudithook(_auditor(folder))
        with without_helpers():  # for the frames that a damaged container counts
            code = run(argv)
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001  # a finding, which the parent reads
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _limit() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for kind, most in (
        (resource.RLIMIT_AS, used + MEMORY),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _auditor(folder: Path) -> Any:
    inside = (str(folder), "/dev/", str(cache_folder()))  # the cache's notes of verified files
    note = os.open(folder / "audit", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def audit(event: str, details: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            os.write(note, f"{event} {details!r}\n".encode()[:500])
        elif event == "open" and isinstance(details[0], str | bytes):
            name, flags = str(Path(os.fsdecode(details[0])).absolute()), details[2] or 0
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not name.startswith(inside):
                os.write(note, f"open {name}\n".encode()[:500])

    return audit


def _judge(status: int, stacks: str, folder: Path) -> Outcome:
    said = (folder / "stderr").read_text("utf-8", "replace") if (folder / "stderr").exists() else ""
    if stacks:
        return Outcome(-1, f"ran longer than {WALL_SECONDS:.0f} s", said + stacks)
    if os.WIFSIGNALED(status):
        return Outcome(-1, f"ended by signal {os.WTERMSIG(status)}", said)
    code = os.WEXITSTATUS(status)
    audit = folder / "audit"
    left = sorted(path.name for path in (folder / "tmp").iterdir())
    errors = [line for line in said.splitlines() if line.startswith("thcli: ")]
    output = sorted(str(path.relative_to(folder)) for path in (folder / "out").rglob("*"))
    wrong = ""
    if code not in CODES:
        wrong = f"exit code {code}"
    elif "Traceback" in said:
        wrong = "a traceback"
    elif audit.exists() and audit.stat().st_size:
        wrong = f"called {audit.read_text('utf-8', 'replace').splitlines()[0]}"
    elif left:
        wrong = f"left {left[0]} in the temporary folder"
    elif code != 0 and output:
        wrong = f"failed and left {output[0]}"
    elif code != 0 and len(errors) != 1:
        wrong = f"{len(errors)} error sentences"
    elif "Warning: " in said:
        wrong = "a library's warning on stderr"
    elif _CONTROL.search(said):
        wrong = "control characters on stderr"
    return Outcome(code, wrong, said)
