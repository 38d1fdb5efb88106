"""`thcli batch`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.cli.wording import count, duration
from thcli.core.errors import UsageError
from thcli.core.options import RunOptions, ShowOptions, option, require
from thcli.core.options.base import comma_words
from thcli.core.temp_folders import made_folder

if TYPE_CHECKING:
    from thcli.cli.batch.jobs import Job
    from thcli.cli.batch.pool import JobEnded, Pool

FAILURES_CODE, MOST_FAILURES = 10, 90  # exit code 11: one job failed; 100: 90 or more


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """Options of `batch`."""

    workers: int = option(
        0,
        "Processes that run jobs, up to 256; 0: one for every two cores. Fewer run while memory "
        "is short.",
    )
    retries: int = option(
        1, "Times that a job is tried again after its worker died or memory was used up, 0..10."
    )
    resume: bool = option(
        False, "Leave out jobs that an earlier run did, and continue interrupted ones."
    )
    overwrite: bool = option(False, "Replace the report of an earlier run.")
    split: int = option(
        0,
        "Cut videos into parts of at least so many frames that several workers make at once "
        "(reenact, refine, edit); 0: do not.",
    )
    ray: str | None = option(
        None, "Run on a Ray cluster: its address, auto, or local. Needs thcli[ray]."
    )
    ray_cpus: float = option(1.0, "Processors that a worker takes of the Ray cluster, 0..1024.")
    ray_gpus: float = option(0.0, "GPUs that a worker takes of the Ray cluster, such as 0.5, 0..8.")
    devices: str = option(
        "",
        "Devices of the workers by turns, such as cuda:0,cuda:1; one worker each where --workers "
        "is 0. Jobs with a --device keep theirs.",
    )
    dry_run: bool = option(False, "Check the jobs and print their command lines.")

    def __post_init__(self) -> None:
        require(0 <= self.workers <= 256, "--workers", "within 0..256", self.workers)
        require(0 <= self.retries <= 10, "--retries", "within 0..10", self.retries)
        require(self.split >= 0, "--split", "0 or more frames", self.split)
        require(0 <= self.ray_cpus <= 1024, "--ray-cpus", "within 0..1024", self.ray_cpus)
        require(0 <= self.ray_gpus <= 8, "--ray-gpus", "within 0..8", self.ray_gpus)
        if self.ray is None and (self.ray_cpus, self.ray_gpus) != (1.0, 0.0):
            raise UsageError("--ray-cpus and --ray-gpus have no effect without --ray.")
        if self.ray is not None and self.devices:
            raise UsageError(
                "--devices has no effect with --ray, which gives each worker its GPUs.",
                "Give --ray-gpus.",
            )
        for name in self.device_names:
            RunOptions(device=name)

    @property
    def device_names(self) -> tuple[str, ...]:
        """The devices of --devices."""
        return comma_words(self.devices)


@flags
def batch(
    context: typer.Context,
    jobs: Annotated[
        str,
        typer.Argument(
            metavar="JOBS",
            help="File of jobs (.toml, .jsonl or .csv), or with COMMAND a pattern of files.",
        ),
    ],
    template: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND...]",
            help="Command for each file of the pattern; {} is the file, and {stem}, {name}, "
            "{parent}, {number} are made from it.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Report of JSON lines (default: beside JOBS, NAME.report.jsonl).",
        ),
    ] = None,
    *,
    options: BatchOptions,
    show: ShowOptions,
) -> None:
    """Run many jobs of any command in a few warm processes.

    A job that fails does not stop the others. The exit code is 0 when all went well, 11 when one
    job failed, 12 for two, up to 100. Folders of outputs are made.
    """
    from thcli.cli.batch.display import BatchDisplay
    from thcli.cli.batch.jobs import SUFFIXES, expand_pattern, read_jobs
    from thcli.cli.batch.pool import JobEnded, JobStarted
    from thcli.cli.batch.record import BatchRecord
    from thcli.cli.batch.steps import plan_courses

    commands: Any = context.find_root().command
    if template:
        found = expand_pattern(commands.commands, jobs, template)
    elif Path(jobs).suffix.lower() in SUFFIXES:
        found = read_jobs(commands.commands, Path(jobs))
    else:
        raise UsageError(
            f"{jobs} is no file of jobs ({', '.join(SUFFIXES)}).",
            "For a pattern of files add the command: thcli batch 'clips/*.mp4' -- refine {}",
        )
    console = Console(show)
    if options.dry_run:
        _rehearse(found, console, elsewhere=options.ray is not None)
        return
    began, ended = time.monotonic(), list[JobEnded]()
    path = output or _beside(jobs, is_pattern=bool(template))
    record = BatchRecord.open(path, resume=options.resume, overwrite=options.overwrite)
    left = [job for job in found if not record.is_done(job)]
    with (
        _folders_of(job.output for job in left if job.output is not None),
        _pool(options) as pool,
        record,
        BatchDisplay(console, len(left)) as display,
    ):
        courses = plan_courses(left, options.split)
        for event in pool.run(left, record.interrupted, courses):
            if isinstance(event, JobStarted):
                record.begin(event)
            elif isinstance(event, JobEnded):
                record.end(event)
                ended.append(event)
            display.show(event)
    report = _report(ended, len(found), path, time.monotonic() - began)
    console.result(report, _summary(report))
    if report["failed"]:
        raise typer.Exit(_failures_code(report["failed"]))


@contextmanager
def _pool(options: BatchOptions) -> Iterator[Pool]:
    """Yield the workers that the options ask for. Raises UsageError or DeviceError."""
    from thcli.cli.batch.pool import Pool
    from thcli.cli.batch.worker_process import devices_by_turns

    if options.ray is None:
        devices = options.device_names
        workers = options.workers or len(devices) or _default_workers()
        with Pool(workers, options.retries, devices_by_turns(devices)) as pool:
            yield pool
        return
    from thcli.cli.batch.ray_cluster import RayCluster

    with (
        RayCluster.connect(options.ray, options.ray_cpus, options.ray_gpus) as cluster,
        Pool(
            options.workers or cluster.room(), options.retries, cluster.start, cluster.free_memory
        ) as pool,
    ):
        yield pool


def _rehearse(jobs: list[Job], console: Console, *, elsewhere: bool) -> None:
    """Print the command lines, and which jobs would fail for want of an input.

    Args:
        jobs: all of them.
        console: prints.
        elsewhere: the jobs run on other machines, so that inputs are not looked for on this one.

    Raises:
        typer.Exit: a job would fail; the code is that of the batch.
    """
    from thcli.cli.batch.missing_inputs import find_missing_inputs

    lines, missing = [job.line() for job in jobs], {}
    if not elsewhere:
        missing = find_missing_inputs(jobs)
    failures = [
        {"job": job.name, **missing[job.number].as_json()} for job in jobs if job.number in missing
    ]
    planned = {"command": "batch", "dry_run": True, "jobs": len(jobs), "lines": lines}
    planned |= {"failed": len(failures), "failures": failures}
    console.table(("job",), [(line,) for line in lines], planned)
    for failure in failures:
        console.say(f"{failure['job']} would fail: {failure['message']} {failure['hint']}")
    if failures:
        raise typer.Exit(_failures_code(len(failures)))


def _failures_code(failed: int) -> int:
    return FAILURES_CODE + min(failed, MOST_FAILURES)


@contextmanager
def _folders_of(outputs: Iterable[str]) -> Iterator[None]:
    """Make the folders of outputs; those that no job filled are removed. Raises OutputError."""
    from thcli.media.failures import to_output_error

    with ExitStack() as stack:
        for folder in {Path(output).parent for output in outputs}:
            try:
                stack.enter_context(made_folder(folder))
            except (OSError, ValueError) as exc:  # ValueError: no name of a folder
                raise to_output_error(folder, exc) from exc
        yield


def _default_workers() -> int:
    """Return one worker for every two cores: each job already uses several threads."""
    return max((os.cpu_count() or 1) // 2, 1)


def _beside(jobs: str, *, is_pattern: bool) -> Path:
    """Return the default name of the report: beside the jobs' file, else in the current folder."""
    return Path("batch.report.jsonl") if is_pattern else Path(jobs).with_suffix(".report.jsonl")


def _report(ended: list[JobEnded], jobs: int, path: Path, seconds: float) -> dict[str, Any]:
    """Return the object of `--json`."""
    failed = [event for event in ended if event.exit_code]
    frames = sum(int(event.result.get("frames") or 0) for event in ended)
    return {
        "command": "batch",
        "output": str(path),
        "jobs": jobs,
        "done": len(ended) - len(failed),
        "failed": len(failed),
        "left_out": jobs - len(ended),
        "repeated": sum(bool(event.reasons) for event in ended),
        "frames": frames,
        "fps": round(frames / max(seconds, 1e-9), 2),
        "seconds": round(seconds, 3),
        "failures": [
            {"job": event.job.name, "exit_code": event.exit_code, **_sentence(event)}
            for event in failed
        ],
    }


def _sentence(event: JobEnded) -> dict[str, str]:
    return {key: str(event.result.get(key, "")) for key in ("message", "hint")}


def _summary(report: dict[str, Any]) -> str:
    text = f"{count(report['done'], 'job')} in {duration(report['seconds'])}"
    if report["frames"]:
        text += f", {count(report['frames'], 'frame')} ({report['fps']} frames/s)"
    for key, words in (("left_out", "done before"), ("repeated", "repeated"), ("failed", "failed")):
        if report[key]:
            text += f"; {report[key]} {words}"
    return f"{report['output']}: {text}"
