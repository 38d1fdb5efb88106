"""Jobs that are cut into parts: pass 1 once, then the parts side by side, then their joining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thcli.cli.batch.jobs import Job

if TYPE_CHECKING:
    from thcli.media.parts import Part

SHARED_OBSERVATION = ("reenact",)  # commands whose pass 1 other processes can read


@dataclass(slots=True)
class Course:
    """The steps of one job, in groups; those of a group may run side by side.

    groups: those to come.
    running: steps of the present group that have not ended.
    began: time of the first step, 0 before it.
    failed: a step failed, so that the others are dropped.
    reasons: of attempts at steps that were repeated.
    """

    groups: list[list[Step]]
    running: int = 0
    began: float = 0.0
    failed: bool = False
    reasons: tuple[str, ...] = ()

    def next_group(self) -> list[Step]:
        """Return the steps that may run now, none after the last one."""
        group = self.groups.pop(0) if self.groups else []
        self.running = len(group)
        return group


@dataclass(frozen=True, slots=True)
class Step:
    """One order of a job that is cut into parts.

    course: all steps of the job.
    output: the file that the job writes.
    part: frames to encode; None for the last step, which joins `parts`.
    """

    course: Course = field(compare=False)
    output: str
    parts: tuple[Part, ...]
    part: Part | None = None

    def order(self) -> dict[str, Any]:
        """Return what the order says besides its command line."""
        if self.part is not None:
            return {"output": self.output, "part": [self.part.start, self.part.stop]}
        joined = [[part.start, part.stop] for part in self.parts]
        return {"output": self.output, "join": joined}

    def name(self) -> str:
        """Return the frames of the step in words."""
        if self.part is None:
            return "joining"
        stop = self.part.stop
        return "pass 1" if stop == 0 else f"frames {self.part.start}-{stop or ''}"


def split_job(job: Job, length: int) -> Course | None:
    """Plan the steps of a job; None for one that is not cut.

    Args:
        job: with `clip` and an output.
        length: least frames of a part; clips of fewer than two parts are not cut.

    Raises:
        MediaError: the clip cannot be read.
        UsageError: the output has an unknown extension.
    """
    if job.clip is None or job.output is None:
        return None
    import thcli
    from thcli.media.parts import Part, can_have_parts, plan_parts

    frames = thcli.probe(job.clip, thcli.ReadOptions()).frames
    if not frames or not can_have_parts(Path(job.output)):
        return None
    parts = tuple(plan_parts(frames, length))
    if len(parts) < 2:
        return None
    course = Course([])
    groups: list[list[Part | None]] = [list(parts), [None]]
    if job.command in SHARED_OBSERVATION:
        groups.insert(0, [Part(0, 0)])
    course.groups = [[Step(course, job.output, parts, part) for part in group] for group in groups]
    return course


def plan_courses(jobs: Sequence[Job], length: int) -> dict[int, Course]:
    """Return the steps of the jobs that are cut, by `Job.number`; none with length 0.

    A job whose clip cannot be read, or whose output has an unknown extension, is not cut: it fails
    with the reason when it runs.
    """
    from thcli.core.errors import MediaError, UsageError

    courses: dict[int, Course] = {}
    for job in jobs if length else ():
        try:
            course = split_job(job, length)
        except (MediaError, UsageError):
            continue
        if course is not None:
            courses[job.number] = course
    return courses
