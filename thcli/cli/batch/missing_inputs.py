"""Inputs of a batch's jobs that cannot be read, found before any job runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from thcli.cli.batch.jobs import Job
from thcli.core.errors import MediaError, UsageError
from thcli.media.failures import check_file
from thcli.media.reading.image import parse_background


def find_missing_inputs(jobs: Iterable[Job]) -> dict[int, MediaError]:
    """Return by the number of each job why its first missing or unreadable input is one.

    What a job before it makes counts as there.
    """
    found: dict[int, MediaError] = {}
    made: set[str] = set()
    for job in jobs:
        for name in job.inputs:
            if os.path.realpath(name) in made or not name or _is_colour(name):
                continue
            try:
                check_file(Path(name))
            except MediaError as error:
                found.setdefault(job.number, error)
        made |= {os.path.realpath(name) for name in (job.output, *job.made) if name}
    return found


def _is_colour(name: str) -> bool:
    try:
        parse_background(name)
    except UsageError:
        return False
    return True
