"""Trials of --resume: jobs are killed at random moments, resumed, and compared packet for packet.

    python -m tests.faults.kills --verb reenact --kills 60
    python -m tests.faults.kills --verb reenact --kills 0 --corruptions 40

Every kill is a SIGKILL of the command in a forked process. A job is killed up to four times: at a
uniform moment of its run time, right after a segment, while the output is muxed, or when it has its
name. The last run of a job must give the packets of an unbroken run, and leave nothing beside the
output or in its TMPDIR. Children are forked from a process that has run the command once, so that a
run costs no imports.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import io
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np

from tests.faults.corruptions import CORRUPTIONS
from tests.faults.forks import without_threads
from tests.pipeline.face_clip import write_face_clip
from thcli.cli.app import run
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.media.writing import segments
from thcli.media.writing.journal import journal_folder

VERBS = {
    "reenact": "reenact face.png clip.mp4",
    "refine": "refine clip.mp4",
    "edit": "edit clip.mp4 --attr lipstick=1",
    "speak": "speak face.png clip.mp4",
}
SIZE = 256  # pixels; at 224 and below, x264 reads uninitialised memory, and runs differ
MOST_KILLS = 4  # of one job
PATIENCE = 600.0  # seconds for one run
PAUSE = 0.002  # seconds between looks at a running job
MOMENTS = ("time", "segment", "mux", "end")


def has_content(path: Path) -> bool:
    """Return True for a file that is not empty; the command may rename it meanwhile."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def count_segments(journal: Path) -> int:
    """Return the number of segments; the command may remove the folder meanwhile."""
    try:
        return sum(path.suffix == ".packets" for path in journal.iterdir())
    except FileNotFoundError:
        return 0


@dataclass
class Trial:
    """Material and counts of the trials of one command.

    argv: command line without the output.
    folder: of inputs and outputs.
    frames: in a segment.
    """

    argv: list[str]
    folder: Path
    frames: int
    rng: Random
    seconds: float = 0.0
    expected: list[Any] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    corruptions: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    failures: list[str] = field(default_factory=list)

    def start(self, output: str) -> BaseProcess:
        """Start the command."""
        words = [*self.argv, "--resume", "--progress", "json", "-o", output]
        process = get_context("fork").Process(target=self._become, args=(words,))
        process.start()
        return process

    def _become(self, words: list[str]) -> None:
        """Run the command as the child."""
        os.chdir(self.folder)
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.folder / "tmp")
        Path("tmp").mkdir(exist_ok=True)
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for number in (1, 2):
            os.dup2(log, number)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
        vars(segments)["SEGMENT_FRAMES"] = self.frames
        sys.exit(run(words))

    def finish(self, output: str) -> int:
        """Run the command to its end and return its exit code."""
        process = self.start(output)
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(output)
        return process.exitcode

    def warm(self) -> None:
        """Run the command in this process, whose modules are imported then."""
        with contextlib.chdir(self.folder), contextlib.redirect_stderr(io.StringIO()) as said:
            if run([*self.argv, "--quiet", "-o", "warm.mp4"]):
                raise RuntimeError(said.getvalue())
            Path("warm.mp4").unlink()
        gc.freeze()  # children would copy the pages of what their rounds touch

    def measure(self) -> None:
        """Run the command without interruption."""
        began = time.monotonic()
        code = self.finish("whole.mp4")
        if code:
            raise RuntimeError((self.folder / "log").read_text())
        self.seconds = time.monotonic() - began
        self.expected = packets(self.folder / "whole.mp4")

    def kill_once(self, output: str, moment: str) -> bool:
        """Run the command and kill it at a moment. Returns False when it ended before that."""
        path = self.folder / output
        journal = journal_folder(path)
        present = count_segments(journal)
        process = self.start(output)
        deadline = time.monotonic() + (
            self.rng.uniform(0, self.seconds) if moment == "time" else PATIENCE
        )
        while process.is_alive() and time.monotonic() < deadline:
            mux = journal / f"whole{path.suffix}"
            reached = {
                "time": False,
                "segment": count_segments(journal) > present + 1,
                "mux": has_content(mux),
                "end": path.exists(),
            }
            if reached[moment]:
                time.sleep(self.rng.uniform(0, 0.03))
                break
            time.sleep(PAUSE)
        process.kill()
        process.join()
        killed = process.exitcode == -signal.SIGKILL
        self.kills[moment] += killed
        return killed

    def run_job(self, most: int) -> None:
        """Kill one job several times, finish it and compare."""
        output = f"out{self.jobs}.mp4"
        self.jobs += 1
        path = self.folder / output
        for _ in range(self.rng.randint(1, min(most, MOST_KILLS))):
            moment = self.rng.choices(MOMENTS, (4, 3, 2, 1))[0]
            if not self.kill_once(output, moment) or path.exists():
                break
        self.check(output, "after kills")

    def run_corruption(self, name: str) -> None:
        """Kill a job after two segments, damage what it left, finish it and compare.

        Without a segment left, the kill counts as one before the first.
        """
        output = f"out{self.jobs}.mp4"
        self.jobs += 1
        if not self.kill_once(output, "segment"):
            return
        journal = journal_folder(self.folder / output)
        if not count_segments(journal):
            self.check(output, "before its first segment")
            return
        CORRUPTIONS[name](journal, self.rng)
        self.corruptions[name] += 1
        self.check(output, name)

    def check(self, output: str, what: str) -> None:
        """Finish a job; record what differs from the unbroken run, and what it left."""
        path = self.folder / output
        existed = path.exists()
        code = self.finish(output)
        log = (self.folder / "log").read_text()
        if code and not (existed and code == 7 and "exists already" in log):
            self.failures.append(f"{output} {what}: exit {code}: {log[-300:]}")
        elif packets(path) != self.expected:
            self.failures.append(f"{output} {what}: other packets")
        left = sorted(p.name for p in self.folder.glob(".*"))
        left += sorted(p.name for p in (self.folder / "tmp").iterdir())
        if left:
            self.failures.append(f"{output} {what}: left {left}")
        path.unlink(missing_ok=True)


def packets(path: Path) -> list[tuple[Any, ...]]:
    """Return stream, pts, dts, duration, size, flags and hash of every packet in order."""
    with av.open(str(path)) as box:
        return [
            (
                *(p.stream.index, p.pts, p.dts, p.duration, p.size),
                *(p.is_keyframe, p.is_corrupt, p.is_discard, p.is_disposable),
                hashlib.sha256(bytes(p)).hexdigest(),
            )
            for p in box.demux()
            if p.size
        ]


def make_material(folder: Path, frames: int) -> None:
    """Write the inputs of all verbs."""
    save_image(folder / "face.png", np.ascontiguousarray(photograph()[10:266, 95:351]))
    write_face_clip(folder / "clip.mp4", frames, tone=True, size=SIZE)


def run_trials(
    verb: str, folder: Path, *, kills: int, corruptions: int, frames: int, length: int, seed: int
) -> Trial:
    """Run the trials of one verb.

    Args:
        verb: of VERBS.
        folder: an empty folder.
        kills: least number of kills.
        corruptions: number of damaged journals.
        frames: of the clip.
        length: frames in a segment.
        seed: of moments and damage.
    """
    trial = Trial(VERBS[verb].split(), folder, length, Random(seed))
    with without_threads():
        make_material(folder, frames)
        trial.warm()
        trial.measure()
        while sum(trial.kills.values()) < kills:
            trial.run_job(kills - sum(trial.kills.values()))
        names = [name for _ in range(corruptions) for name in CORRUPTIONS][:corruptions]
        for name in names:
            trial.run_corruption(name)
    return trial


def main() -> None:
    """Run the trials that the command line asks for and print their counts as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__)
    parser.add_argument("--verb", choices=[*VERBS], action="append", help="default: all")
    parser.add_argument("--kills", type=int, default=60, help="for each verb")
    parser.add_argument("--corruptions", type=int, default=0, help="for each verb")
    parser.add_argument("--frames", type=int, default=170, help="of the clip")
    parser.add_argument("--segment", type=int, default=48, help="frames in a segment")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    failed = False
    for verb in given.verb or VERBS:
        with tempfile.TemporaryDirectory(prefix="kills-") as name:
            began = time.monotonic()
            trial = run_trials(
                verb,
                Path(name),
                kills=given.kills,
                corruptions=given.corruptions,
                frames=given.frames,
                length=given.segment,
                seed=given.seed,
            )
        counts = {
            "verb": verb,
            "kills": dict(trial.kills),
            "corruptions": sum(trial.corruptions.values()),
            "jobs": trial.jobs,
            "packets": len(trial.expected),
            "failures": trial.failures,
            "seconds": round(time.monotonic() - began),
        }
        sys.stdout.write(json.dumps(counts) + "\n")
        sys.stdout.flush()
        failed |= bool(trial.failures)
    sys.exit(failed)


if __name__ == "__main__":
    main()
