"""Record of a batch: a JSON line for each job that begins or ends; --resume reads them."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from thcli.cli.batch.jobs import Job
from thcli.cli.batch.pool import JobEnded, JobStarted
from thcli.core.errors import OutputError, UsageError
from thcli.core.json_text import to_json
from thcli.media.failures import to_output_error

FileFacts = dict[str, list[int]]


@dataclass(slots=True)
class BatchRecord:
    """The record of a batch: a context manager around its run.

    path: file; its folder is made.
    kept: bytes of an earlier record that stay; lines are added after them.
    lines: command line -> line of a job that ended well in an earlier run.
    interrupted: command line -> `JobStarted.owns_output` of jobs that did not end.
    """

    path: Path
    kept: int = 0
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    interrupted: dict[str, bool] = field(default_factory=dict)
    _file: IO[str] | None = None

    @classmethod
    def open(cls, path: Path, *, resume: bool, overwrite: bool) -> BatchRecord:
        """Open a new record, or that of an interrupted run.

        Args:
            path: file.
            resume: continue a record that exists.
            overwrite: replace one that exists.

        Raises:
            OutputError: it exists, and neither is given.
            UsageError: the file to continue is no record.
        """
        if resume and path.exists():
            return cls(path, *_read(path))
        if path.exists() and not overwrite:
            raise OutputError(
                f"{path} exists already.",
                "Continue that batch with --resume, choose another --output, or pass --overwrite.",
            )
        return cls(path)

    def __enter__(self) -> BatchRecord:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
            self._file.truncate(self.kept)
        except OSError as exc:
            raise to_output_error(self.path, exc) from exc
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is None:
            return
        with suppress(OSError):  # a line that did not fit is written again, and has been told
            self._file.close()
        if self.path.is_file() and not self.path.stat().st_size:
            self.path.unlink()

    def is_done(self, job: Job) -> bool:
        """Return True if a job ended well before, and its inputs and output are as they were."""
        line = self.lines.get(job.line())
        return line is not None and line["files"] == _file_facts(job, line["result"])

    def begin(self, started: JobStarted) -> None:
        """Write that a job was started. Raises OutputError when the disk is full."""
        self._write({"line": started.job.line(), "owns_output": started.owns_output})

    def end(self, ended: JobEnded) -> None:
        """Write the line of a job that ended. Raises OutputError when the disk is full."""
        line = {
            "job": ended.job.name,
            "number": ended.job.number,
            "line": ended.job.line(),
            "exit_code": ended.exit_code,
            "seconds": round(ended.seconds, 3),
            "attempts": len(ended.reasons) + 1,
            "reasons": ended.reasons,
            "result": ended.result,
            "files": _file_facts(ended.job, ended.result),
        }
        if ended.exit_code:
            line["log"] = ended.log
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        try:
            self._file.write(to_json(line) + "\n")
            self._file.flush()
        except OSError as exc:
            raise to_output_error(self.path, exc) from exc


def _read(path: Path) -> tuple[int, dict[str, dict[str, Any]], dict[str, bool]]:
    """Return `BatchRecord.kept`, `.lines` and `.interrupted`. A line cut off is left out."""
    done: dict[str, dict[str, Any]] = {}
    started: dict[str, bool] = {}
    try:
        written = path.read_bytes()
        complete = written[: written.rfind(b"\n") + 1]
        for row in map(json.loads, complete.decode().splitlines()):
            done.pop(row["line"], None)
            if "exit_code" not in row:
                started[row["line"]] = bool(row["owns_output"])
                continue
            started.pop(row["line"], None)
            if row["exit_code"] == 0 and isinstance(row["files"], dict):
                done[row["line"]] = row
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as exc:
        raise UsageError(
            f"{path} is no record of a batch.", "Give the --output of the batch to resume."
        ) from exc
    return len(complete), done, started


def _file_facts(job: Job, result: dict[str, Any]) -> FileFacts:
    """Return size and time of change of the files that a job read and wrote; [] for none."""
    written = result.get("output") or job.output
    paths = [*job.inputs, *([str(written)] if written else [])]
    facts: FileFacts = {}
    for path in paths:
        try:
            state = Path(path).stat()
            facts[path] = [state.st_size, state.st_mtime_ns]
        except (OSError, ValueError):  # ValueError: no name of a file
            facts[path] = []
    return facts
