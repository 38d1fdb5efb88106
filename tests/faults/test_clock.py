"""A clock that jumps by a day, forth and back, at every reading."""

from __future__ import annotations

import io
import itertools
import os
import time
from pathlib import Path

import pytest

from tests.faults.commands import VERBS
from tests.faults.inject import Setting, execute, unbroken_resumable
from tests.faults.kills import packets
from tests.weights.fake_site import entry, store
from thcli import weights
from thcli.core.events import Finished, Started, Step
from thcli.core.progress import TqdmListener
from thcli.core.temp_folders import remove_stale_folders, temporary_folder

DAY = 86400.0


def jumping_clock(setting: Setting) -> None:
    """Add or subtract a day at every other reading of the wall clock."""
    real, jumps = time.time, itertools.cycle((0.0, DAY, -DAY))

    def read() -> float:
        return real() + next(jumps)

    setting.patch.setattr(time, "time", read)
    setting.patch.setattr(time, "time_ns", lambda: int(read() * 1e9))
    setting.patch.setattr("tqdm.std.time", read)


@pytest.mark.parametrize("name", VERBS)
def test_commands_do_not_notice(name: str, room: Path, tmp_path: Path) -> None:
    verb = VERBS[name]
    more = ["--resume"] if verb.resumable else []
    outcome = execute([*verb.argv(room, "", *more), "--progress", "json"], tmp_path, jumping_clock)
    outcome.require_clean(*verb.outputs)
    assert outcome.code == 0 and '"event":"finished"' in outcome.said
    if verb.resumable:
        assert packets(tmp_path / "out" / verb.output) == unbroken_resumable(name, room)


def test_a_bar_reaches_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = itertools.chain([2 * DAY, 3 * DAY], itertools.repeat(DAY))
    monkeypatch.setattr("tqdm.std.time", lambda: next(now))
    shown = io.StringIO()
    with TqdmListener(shown) as listener:
        listener(Started("render", 5))
        for done in range(1, 6):
            listener(Step("render", done))
        listener(Finished("render", 5, 1.0))
    assert "5/5" in shown.getvalue().splitlines()[-1]


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forth", "back"])
def test_folders_in_use_are_kept_whatever_their_age(
    jump: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = tmp_path / "thcli-dead.tmp"
    dead.mkdir()
    with temporary_folder() as folder:
        for path in (folder, dead):
            os.utime(path, (time.time() + jump,) * 2)
        remove_stale_folders()
        assert folder.is_dir() and not dead.exists()


def test_weights_from_tomorrow_are_verified(tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(b"weights" * 9)
    cache = store(tmp_path, entry("a", sources=["https://example.org/a"]))
    path = weights.import_file("a", tmp_path / "given", trust=True, store=cache)
    for jump in (DAY, -DAY, 0.0):
        os.utime(path, (time.time() + jump,) * 2)
        assert weights.locate("a", offline=True, store=cache) == path
    path.write_bytes(b"altered")
    assert not weights.is_ready("a", store=cache)
