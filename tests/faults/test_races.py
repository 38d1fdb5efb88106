"""Two processes at once: one output, one entry of the weights' cache; caches without permission."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.commands import VERBS, whole
from tests.faults.forks import fork, join
from tests.faults.inject import (
    Fault,
    before_call,
    execute,
    failing_call,
    no_room,
    prepared,
    python_writes,
    start,
    wait,
)
from tests.faults.kills import packets
from tests.weights.fake_site import entry, serve, store, transport
from thcli import weights
from thcli.core.errors import OutputError
from thcli.media import destination
from thcli.media.writing.target import OutputTarget

BLOB = bytes(range(256)) * 4000
SHA = hashlib.sha256(BLOB).hexdigest()
PATIENCE = 30.0  # seconds to wait for the other process


def meet(folder: Path, name: str, count: int) -> Callable[[], None]:
    """Return a function that waits until `count` processes are in it."""

    def arrive() -> None:
        (folder / f"{name}-{os.getpid()}").touch()
        ends = time.monotonic() + PATIENCE
        while len(list(folder.glob(f"{name}-*"))) < count and time.monotonic() < ends:
            time.sleep(0.002)

    return arrive


@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
@pytest.mark.parametrize("output", ["made.mkv", "made/"])
def test_two_processes_write_one_output(
    output: str, overwrite: bool, room: Path, tmp_path: Path
) -> None:
    """One of two results with different contents is kept whole.

    Without --overwrite the second is refused.
    """
    (tmp_path / "meeting").mkdir()
    barrier = before_call(OutputTarget, "commit", meet(tmp_path / "meeting", "commit", 2))
    more = ["--overwrite"] if overwrite else []
    commands = [
        VERBS["compare"].argv(room, output, *more, "--height", height) for height in ("64", "96")
    ]
    expected = []
    for number, argv in enumerate(commands):
        alone = tmp_path / f"alone{number}"
        alone.mkdir()
        execute(argv, alone).require_clean("made" if output == "made/" else output)
        expected.append(_content(alone / "out" / output))
    children = [start(argv, tmp_path, barrier) for argv in commands]
    outcomes = [wait(child, tmp_path) for child in children]
    codes = sorted(outcome.code for outcome in outcomes)
    allowed = [[0, 0]] if overwrite else [[0, 7]]
    if overwrite and output == "made/":  # a folder that was made meanwhile may be filled or refused
        allowed.append([0, 7])
    assert codes in allowed, outcomes
    assert outcomes[-1].beside == (output.rstrip("/"),) and outcomes[-1].temporary == ()
    assert _content(tmp_path / "out" / output) in expected


@pytest.mark.parametrize("links", [True, False])
def test_two_processes_write_one_file(links: bool, room: Path, tmp_path: Path) -> None:
    """The meeting is after the last check of the name."""
    name = "detect"
    (tmp_path / "meeting").mkdir()
    faults = [before_call(destination, "_rename_new", meet(tmp_path / "meeting", "name", 2))]
    if not links:
        faults.append(failing_call(os, "link", errno.EPERM))
    children = [start(VERBS[name].argv(room), tmp_path, *faults) for _ in range(2)]
    outcomes = [wait(child, tmp_path) for child in children]
    assert sorted(outcome.code for outcome in outcomes) == [0, 7], outcomes
    outcomes[-1].require_clean(VERBS[name].output)
    assert _content(tmp_path / "out" / VERBS[name].output) == _content(whole(room, name))


def _content(path: Path) -> object:
    if path.is_dir():
        return {item.name: item.read_bytes() for item in path.iterdir()}
    return packets(path) if path.suffix == ".mkv" else path.read_bytes()


def test_a_folder_that_another_process_has_filled_is_refused(room: Path, tmp_path: Path) -> None:
    made = tmp_path / "out" / "made"

    def fill() -> None:
        made.mkdir()
        (made / "000000.png").write_bytes(b"of another process")

    fault = before_call(OutputTarget, "commit", fill)
    outcome = execute(VERBS["compare"].argv(room, "made/"), tmp_path, fault)
    outcome.require_failure(7, "made")
    assert (made / "000000.png").read_bytes() == b"of another process"


@pytest.mark.parametrize("name", ["reenact", "compare"])
def test_the_second_of_two_resumable_jobs_is_refused(name: str, room: Path, tmp_path: Path) -> None:
    (tmp_path / "meeting").mkdir()
    barrier = before_call(OutputTarget, "commit", meet(tmp_path / "meeting", "commit", 2))
    argv = VERBS[name].argv(room, "", "--resume")
    first = start(argv, tmp_path, barrier)
    ends = time.monotonic() + PATIENCE
    while not list((tmp_path / "meeting").iterdir()) and time.monotonic() < ends:
        time.sleep(0.01)
    second = wait(start(argv, tmp_path), tmp_path)
    assert second.code == 7 and "is being written by another process" in second.said
    (tmp_path / "meeting" / "commit-of-this-test").touch()
    done = wait(first, tmp_path)
    assert done.code == 0
    done.require_clean(VERBS[name].output)


def in_children(count: int, work: Callable[[], object], room: Path) -> list[int]:
    """Run a function in forked children at once and return their exit codes.

    Args:
        count: of the children.
        work: the function.
        room: folder for the stacks of children that hang.
    """
    children = []
    for _ in range(count):
        child = fork(room)
        if child == 0:
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    return [join(child, room) for child in children]


def cached(root: Path) -> dict[str, bytes]:
    """Return the files of a cache without locks and stamps."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".locks" not in path.parts and path.name != ".verified.json"
    }


def test_processes_import_one_file_at_once(tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(BLOB)
    (tmp_path / "meeting").mkdir()
    cache = store(tmp_path, entry("a", sha256=SHA, sources=["https://example.org/a"]))
    arrive = meet(tmp_path / "meeting", "import", 3)

    def work() -> None:
        arrive()
        weights.import_file("a", tmp_path / "given", store=cache)

    assert in_children(3, work, tmp_path) == [0, 0, 0]
    assert list(cached(cache.root).values()) == [BLOB]
    assert weights.locate("a", offline=True, store=cache).read_bytes() == BLOB


def test_processes_pull_one_file_at_once(tmp_path: Path) -> None:
    (tmp_path / "meeting").mkdir()
    arrive = meet(tmp_path / "meeting", "pull", 3)
    with serve() as site:
        site.blobs["/a"] = BLOB
        cache = store(tmp_path, entry("a", sha256=SHA, sources=[f"{site.url}/a"]))

        def work() -> None:
            arrive()
            weights.pull(["a"], store=cache, transport=transport(site))

        assert in_children(3, work, tmp_path) == [0, 0, 0]
        assert len(site.requests) == 1
    assert list(cached(cache.root).values()) == [BLOB]


CACHE_FAULTS: dict[str, Fault] = {
    "full": no_room(50_000),
    "copy fails": failing_call(shutil, "copyfile", errno.EIO),
    "no permission": failing_call(Path, "mkdir", errno.EACCES),
    "read-only disk": failing_call(Path, "mkdir", errno.EROFS),
    "rename fails": failing_call(Path, "replace", errno.EIO),
    "flush fails": failing_call(os, "fsync", errno.EIO),
    "record is full": python_writes(r"trusted\.json\..*partial$", 10, errno.ENOSPC),
}


@pytest.mark.parametrize("name", CACHE_FAULTS)
def test_an_import_into_a_cache_that_fails(name: str, tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(BLOB)
    cache = store(tmp_path, entry("a", sources=["https://example.org/a"]))
    with (
        prepared(tmp_path, [CACHE_FAULTS[name]]),
        pytest.raises(OutputError, match="weights' folder"),
    ):
        weights.import_file("a", tmp_path / "given", trust=True, store=cache)
    partial = [path for path in cached(cache.root) if "partial" in path]
    assert partial == []
    assert weights.import_file("a", tmp_path / "given", trust=True, store=cache).is_file()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_cache_that_cannot_be_written_is_read(number: int, tmp_path: Path) -> None:
    """The note of verified files is not written then, and the files are hashed at each start."""
    (tmp_path / "given").write_bytes(BLOB)
    cache = store(tmp_path, entry("a", sha256=SHA, sources=["https://example.org/a"]))
    path = weights.import_file("a", tmp_path / "given", store=cache)
    stamp = cache.root / "a" / ".verified.json"
    stamp.unlink()
    fault = python_writes(r"\.verified\.json", 10, number)
    with prepared(tmp_path, [fault]):
        assert weights.locate("a", offline=True, store=cache) == path
    assert not stamp.exists() and not [p for p in cached(cache.root) if "partial" in p]


def test_a_missing_cache_is_read_and_made(tmp_path: Path) -> None:
    cache = store(tmp_path, entry("a", sha256=SHA, sources=["https://example.org/a"]))
    shutil.rmtree(cache.root, ignore_errors=True)
    assert not weights.is_ready("a", store=cache) and not cache.root.exists()
    (tmp_path / "given").write_bytes(BLOB)
    assert weights.import_file("a", tmp_path / "given", store=cache).read_bytes() == BLOB
