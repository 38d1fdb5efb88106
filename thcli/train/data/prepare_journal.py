"""Journal of `thcli prepare`: what an interrupted run has finished."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from thcli.core.errors import OutputError, UsageError
from thcli.core.options import PrepareOptions
from thcli.media.atomic_file import AtomicFile
from thcli.media.failures import to_output_error
from thcli.train.data.dataset import COLUMNS, INDEX

CLIPS, RECORDS = "clips", ".prepared"
IndexRow = dict[str, Any]


class PrepareJournal:
    """One file per finished video, so that an interrupted run can be resumed.

    Raises:
        OutputError: The folder is in use without resume or overwrite, or cannot be written.
        UsageError: The folder was started with other options, or the journal is broken.
    """

    def __init__(self, output: Path, options: PrepareOptions) -> None:
        self.output, self.folder = output, output / RECORDS
        self.dropped = 0
        self._fresh = not output.exists()
        chosen = asdict(replace(options, overwrite=False, resume=False))
        chosen.pop("run")
        used = output.is_file() or (output.is_dir() and any(output.iterdir()))
        if used and not (options.resume or options.overwrite):
            raise OutputError(
                f"{output} is in use.",
                "Give --resume to continue, --overwrite to start again, or another -o.",
            )
        try:
            if output.is_file():
                raise OutputError(f"{output} is a file, not a folder.", "Give another -o.")
            if used and not options.resume:
                for name in (CLIPS, RECORDS):
                    shutil.rmtree(output / name, ignore_errors=True)
                (output / INDEX).unlink(missing_ok=True)
            (output / CLIPS).mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(exist_ok=True)
            settings = self.folder / "options.json"
            if settings.is_file() and json.loads(settings.read_text("utf-8")) != json.loads(
                json.dumps(chosen)
            ):
                raise UsageError(
                    f"{output} was started with other options.",
                    "Resume with the same options, or start again with --overwrite.",
                )
            settings.write_text(json.dumps(chosen), "utf-8")
        except OSError as exc:
            self.discard_unused()
            raise to_output_error(output, exc) from exc
        except ValueError as exc:
            raise _broken_journal(output) from exc

    def has(self, video: Path) -> bool:
        """Return True when an earlier run finished this file."""
        path = self._path(video)
        return path.is_file() and _read_record(path)["video"] == _identify(video)

    def add(self, video: Path, rows: list[IndexRow], dropped: int) -> None:
        """Record a finished video."""
        with AtomicFile(self._path(video), overwrite=True) as file:
            file.partial.write_text(
                json.dumps({"video": _identify(video), "rows": rows, "dropped": dropped}), "utf-8"
            )

    def finish(self) -> list[IndexRow]:
        """Write index.csv of all finished videos; return its rows."""
        rows: list[IndexRow] = []
        for path in self.folder.glob("video-*.json"):
            record = _read_record(path)
            rows += record["rows"]
            self.dropped += record["dropped"]
        rows.sort(key=lambda row: (row["origin"], row["start"], row["track"]))
        if rows:
            with (
                AtomicFile(self.output / INDEX, overwrite=True) as file,
                file.partial.open("w", encoding="utf-8", newline="") as text,
            ):
                table = csv.DictWriter(text, COLUMNS)
                table.writeheader()
                table.writerows(rows)
        return rows

    def discard(self) -> None:
        """Delete the dataset folder when this run created it."""
        if self._fresh:
            shutil.rmtree(self.output, ignore_errors=True)

    def discard_unused(self) -> None:
        """Delete the dataset folder when this run created it and finished no video."""
        if not any(self.folder.glob("video-*.json")):
            self.discard()

    def _path(self, video: Path) -> Path:
        return (
            self.folder
            / f"video-{hashlib.sha256(str(video.resolve()).encode()).hexdigest()[:20]}.json"
        )


def _read_record(path: Path) -> dict[str, Any]:
    """Read a finished video's record. Raises UsageError when it is broken."""
    try:
        record = json.loads(path.read_text("utf-8"))
        whole = isinstance(record["dropped"], int) and isinstance(record["video"], list)
        if whole and all(set(row) == set(COLUMNS) for row in record["rows"]):
            return dict(record)
    except (OSError, ValueError, TypeError, LookupError) as exc:
        raise _broken_journal(path) from exc
    raise _broken_journal(path)


def _broken_journal(path: Path) -> UsageError:
    return UsageError(
        f"{path} cannot be resumed: its journal is broken.", "Start again with --overwrite."
    )


def _identify(video: Path) -> list[Any]:
    """Return path, size and modification time, which identify a video file."""
    try:
        facts = video.stat()
    except OSError:
        return [str(video), 0, 0]
    return [str(video), facts.st_size, facts.st_mtime_ns]
