"""Records of batches, whose jobs name what no file can be called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thcli.cli.batch.jobs import Job
from thcli.cli.batch.pool import JobEnded, JobStarted
from thcli.cli.batch.record import BatchRecord


@pytest.mark.parametrize("name", ["\ud800.mp4", "a\0b.mp4", "w\udcff.mp4"])
def test_an_impossible_name_is_recorded(name: str, tmp_path: Path) -> None:
    job = Job(1, name, "crop", (name,), inputs=(name,))
    path = tmp_path / "r.jsonl"
    with BatchRecord.open(path, resume=False, overwrite=False) as record:
        record.begin(JobStarted(job, 1, 1, owns_output=False))
        record.end(JobEnded(job, 1, 3, 0.1, {"error": "MediaError", "message": "No."}))
    first, last = map(json.loads, path.read_text("utf-8").splitlines())
    assert first["line"] == last["line"] and last["files"] == {name: []}
    assert not BatchRecord.open(path, resume=True, overwrite=False).is_done(job)
