"""Motion of a driver that the processes of one job share: the first one observes, others read."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from thcli.core.protocols import Engine
from thcli.media.atomic_file import replace_atomically
from thcli.media.failures import to_output_error
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.tracking import VideoSelection

_folder: ContextVar[Path | None] = ContextVar("folder of observed drivers", default=None)


@contextmanager
def kept_drivers(folder: Path) -> Iterator[None]:
    """Keep the motion of drivers in a folder for other processes that run the same job.

    Args:
        folder: beside the output of the job; it is made when a driver is kept.
    """
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


@dataclass(frozen=True, slots=True)
class KeptDriver:
    """Place of the motion of one driver. motion: motion file.  facts: number of its faces."""

    motion: Path
    facts: Path

    @classmethod
    def find(cls, driver: VideoSelection, engine: Engine, job: Job) -> KeptDriver | None:
        """Return the place for a driver as an engine observes it, None outside `kept_drivers`.

        A job with other options, weights or devices has another place.
        """
        folder = _folder.get()
        if folder is None or not driver.info.path.is_file():
            return None
        kind = f"{type(engine).__module__}.{type(engine).__qualname__}"
        key = (
            str(driver.info.path.resolve()),
            repr((driver.read, driver.select)),
            kind,
            job.fingerprint(driver.info.path),
        )
        name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        return cls(folder / f"{name}.motion.safetensors", folder / f"{name}.json")

    def take(self, path: Path) -> int | None:
        """Copy the motion to a path and return the number of faces; None when it is not there."""
        if not self.facts.is_file():
            return None
        try:
            shutil.copyfile(self.motion, path)
        except OSError as exc:
            raise to_output_error(path, exc) from exc
        return int(json.loads(self.facts.read_text("utf-8"))["faces"])

    def keep(self, path: Path, faces: int) -> None:
        """Keep the motion of a file that is complete. Raises OutputError."""
        try:
            self.motion.parent.mkdir(exist_ok=True)
        except OSError as exc:
            raise to_output_error(self.motion, exc) from exc
        with replace_atomically(self.motion, overwrite=True) as fresh:
            shutil.copyfile(path, fresh)
        # last: with it the motion counts as complete
        with replace_atomically(self.facts, overwrite=True) as fresh:
            fresh.write_text(json.dumps({"faces": faces}), "utf-8")
