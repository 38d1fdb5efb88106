"""Throughput of `thcli batch` with one worker and with two, on an idle machine.

    python tools/measure_batch.py FACE CLIP --jobs 200

Each job reenacts three frames of the clip, each from another moment. Prints seconds by the clock
and by the processor, the ratio, and whether the results have the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOMENTS = 40  # different beginnings of a job's frames
STEP, LENGTH = 0.1, 0.12  # seconds from one beginning to the next, and of a job


def write_jobs(path: Path, face: Path, clip: Path, count: int) -> list[Path]:
    """Write the jobs as JSON lines; return their outputs, in a folder named as the file."""
    outputs = [path.with_suffix("") / f"{number}.mp4" for number in range(count)]
    path.with_suffix("").mkdir()
    lines = [
        json.dumps(
            {
                "command": "reenact",
                "source": str(face),
                "driving": str(clip),
                "start": round(number % MOMENTS * STEP, 2),
                "end": round(number % MOMENTS * STEP + LENGTH, 2),
                "output": str(output),
            }
        )
        for number, output in enumerate(outputs)
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return outputs


def run(jobs: Path, workers: int) -> tuple[float, float]:
    """Run a batch with threads of one processor each; return clock and processor seconds."""
    command = [sys.executable, "-m", "thcli", "batch", str(jobs), "--workers", str(workers)]
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*command, "--quiet", "--json"],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - begun, used


def main() -> None:
    """Measure two workers, then one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("face", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--jobs", type=int, default=200)
    given = parser.parse_args()
    clocks, outputs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for workers in (2, 1):
            jobs = Path(folder) / f"workers{workers}.jsonl"
            face, clip = given.face.resolve(), given.clip.resolve()
            outputs.append(write_jobs(jobs, face, clip, given.jobs))
            clock, used = run(jobs, workers)
            clocks.append(clock)
            sys.stdout.write(f"{workers} workers: {clock:.1f} s, {used:.1f} s of processors\n")
            sys.stdout.flush()
        pairs = zip(*outputs, strict=True)
        same = sum(one.read_bytes() == other.read_bytes() for one, other in pairs)
    load = os.getloadavg()[0]
    sys.stdout.write(f"two workers are {clocks[1] / clocks[0]:.2f} times as fast as one\n")
    sys.stdout.write(f"{same} of {given.jobs} results are equal; load at the end {load:.1f}\n")


if __name__ == "__main__":
    main()
