"""Throughput of `thcli batch` with one worker and with two, on an idle machine.

    python tools/measure_batch.py FACE CLIP --jobs 200 --singles 10 --kill
    python tools/measure_batch.py FACE CLIP --jobs 40 --ray

Each job reenacts three frames of the clip, each from another moment of its first four seconds.
Prints seconds by the clock and by the processor, the ratios, and how many results have the same
packets. `--singles` starts a process for each of so many jobs, as a shell loop does; `--kill` kills
a worker of one more run of two; `--ray` makes one more run on a Ray cluster of this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

MOMENTS = 40  # different beginnings of a job's frames
STEP, LENGTH = 0.1, 0.12  # seconds from one beginning to the next, and of a job
THCLI = (sys.executable, "-m", "thcli")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Run:
    """One way of doing the jobs.

    clock, processor: seconds a job.
    outputs: one for each job that was done.
    """

    name: str
    clock: float
    processor: float
    outputs: list[Path]

    def tell(self, note: str = "") -> None:
        """Print a line about the run."""
        jobs = len(self.outputs)
        seconds = f"{self.clock * jobs:.1f} s, {self.processor * jobs:.1f} s of processors"
        each = f"{self.clock:.3f} and {self.processor:.3f} s a job"
        sys.stdout.write(f"{self.name}, {jobs} jobs: {seconds}; {each}{note}\n")
        sys.stdout.flush()


def job(face: Path, clip: Path, number: int, output: Path) -> dict[str, Any]:
    """Return one job, with the keys of `thcli batch`."""
    start = round(number % MOMENTS * STEP, 2)
    return {
        "command": "reenact",
        "source": str(face),
        "driving": str(clip),
        "start": start,
        "end": round(start + LENGTH, 2),
        "output": str(output),
    }


def batch(name: str, jobs: list[dict[str, Any]], folder: Path, *flags: str, kill: bool) -> Run:
    """Do the jobs with one batch. kill: a worker is killed after a tenth of the jobs."""
    path, outputs = folder / f"{name.replace(' ', '-')}.jsonl", list[Path]()
    for number, each in enumerate(jobs):
        outputs.append(path.with_suffix("") / f"{number}.mp4")
        each["output"] = str(outputs[-1])
    path.write_text("".join(json.dumps(each) + "\n" for each in jobs), "utf-8")
    begun, before = time.monotonic(), _processor_seconds()
    command = [*THCLI, "batch", str(path), *flags, "--quiet", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD
    ) as process:
        if kill:
            _kill_a_worker(process, outputs[: len(jobs) // 10 + 1])
        report = json.loads(process.communicate()[0])
    if "done" not in report:
        raise SystemExit(str(report["message"]))
    clock = time.monotonic() - begun
    run = Run(name, clock / len(jobs), (_processor_seconds() - before) / len(jobs), outputs)
    run.tell(f"; {report['done']} done, {report['repeated']} repeated, {report['failed']} failed")
    if report["failed"]:
        raise SystemExit(str(report["failures"][0]))
    return run


def singles(jobs: list[dict[str, Any]], folder: Path) -> Run:
    """Start a process for each job, one after the other."""
    outputs = [folder / f"{number}.mp4" for number in range(len(jobs))]
    begun, before = time.monotonic(), _processor_seconds()
    for each, output in zip(jobs, outputs, strict=True):
        times = ["--start", str(each["start"]), "--end", str(each["end"])]
        names = [each["source"], each["driving"], "-o", str(output)]
        subprocess.run(
            [*THCLI, "reenact", *names, *times, "--quiet"],
            check=True,
            env=os.environ | ONE_THREAD,
        )
    clock, used = time.monotonic() - begun, _processor_seconds() - before
    run = Run("single starts", clock / len(jobs), used / len(jobs), outputs)
    run.tell()
    return run


def packets(path: Path) -> list[tuple[int, int, bytes]]:
    """Return stream, presentation time and contents of each packet of a file, sorted.

    A job that is repeated after its worker died is muxed by `--resume`: its decoding times differ.
    """
    with av.open(str(path)) as container:
        return sorted(
            (each.stream_index, each.pts, bytes(each))
            for each in container.demux()
            if each.pts is not None
        )


def _kill_a_worker(process: subprocess.Popen[str], outputs: list[Path]) -> None:
    """Kill a worker when the outputs exist; none when the batch ends before."""
    while not all(output.exists() for output in outputs):
        if process.poll() is not None:
            return
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    pids = [int(pid) for path in {children, *tasks} for pid in path.read_text().split()]
    workers = [
        pid for pid in pids if "batch-worker" in Path(f"/proc/{pid}/cmdline").read_text("utf-8")
    ]
    os.kill(workers[0], signal.SIGKILL)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure two workers, one, and what else was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("face", type=Path)
    parser.add_argument("clip", type=Path, help="of four seconds and more")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--singles", type=int, default=0, metavar="COUNT")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--ray", action="store_true")
    given = parser.parse_args()
    face, clip = given.face.resolve(), given.clip.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [job(face, clip, number, folder) for number in range(given.jobs)]
        two = batch("two workers", jobs, folder, "--workers", "2", kill=False)
        one = batch("one worker", jobs, folder, "--workers", "1", kill=False)
        others = [one]
        if given.kill:
            others.append(batch("one killed", jobs, folder, "--workers", "2", kill=True))
        if given.ray:
            on_ray = ("--ray", "local", "--workers", "2")
            others.append(batch("local Ray", jobs, folder, *on_ray, kill=False))
        ratios = [f"two workers are {one.clock / two.clock:.2f} times as fast as one"]
        if given.singles:
            others.append(singles(jobs[: given.singles], folder))
            loop = others[-1]
            ratios.append(f"{loop.clock / two.clock:.1f} times as fast as single starts")
            ratios.append(f"one takes 1/{loop.processor / one.processor:.1f} of their processors")
        for other in others:
            pairs = list(zip(two.outputs, other.outputs, strict=False))
            same = sum(packets(a) == packets(b) for a, b in pairs)
            equal = f"{same} of {len(pairs)} results have the packets of two workers"
            sys.stdout.write(f"{other.name}: {equal}\n")
    sys.stdout.write(f"{'; '.join(ratios)}; load at the end {os.getloadavg()[0]:.1f}\n")


if __name__ == "__main__":
    main()
