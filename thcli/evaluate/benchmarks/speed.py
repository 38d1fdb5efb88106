"""`thcli bench`: how fast a reenactment is from file to file, where the time goes, and what of it is unavoidable."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from thcli import media
from thcli.core.events import Finished, Listener, Started, Step, silent
from thcli.core.options import BenchOptions, OutputOptions, ReenactOptions
from thcli.evaluate.benchmarks.baseline import (
    Alone,
    Timing,
    best,
    decode_alone,
    encode_alone,
    plain_transcode,
)
from thcli.evaluate.benchmarks.memory import peak_of_command, peak_rss, reset_peak
from thcli.evaluate.benchmarks.reenact import limited
from thcli.evaluate.datasets.test_clip import astronaut_clip, portrait
from thcli.evaluate.reports.contact_sheet import save_picture

OVERHEAD_BAR = 1.5  # total time over plain transcode + track + render
SPEED_BAR = 25.0  # frames a second at 512 x 512
GROWTH_BAR = 50 * 2**20  # bytes that a long job may need more than a short one
SHORT_JOB = 200  # frames
STEPS = 5  # that a listener is told of

Work = Callable[[Path, Path, Path, ReenactOptions], Mapping[str, float]]
"""Reenacts source, drive -> target with options; gives the wall seconds of its stages by its own clock."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Peak bytes of a short and a long job, each in a process of its own."""

    short: int
    long: int
    frames: int


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured. total: file to file, loading included.  clock: the pipeline's own stages, wall seconds (they overlap).
    alone: each stage by itself.  transcode: the plain one.  peak: resident bytes during the total."""

    drive: str
    size: tuple[int, int]
    frames: int
    engine: str
    total: Timing
    clock: Mapping[str, float]
    alone: Mapping[str, Timing]
    transcode: Timing
    peak: int
    growth: Growth | None = None

    @property
    def fps(self) -> float:
        """Frames a second of wall time, end to end."""
        return self.frames / max(self.total.wall, 1e-9)

    def overhead(self, kind: str) -> float:
        """Total time over plain transcode plus the engine's stages alone. kind: "wall" or "cpu"."""
        needed = self.transcode
        for name in ("load", "track", "motion", "render"):
            needed = needed + self.alone.get(name, Timing())
        return float(getattr(self.total, kind) / max(getattr(needed, kind), 1e-9))

    def as_json(self) -> dict[str, Any]:
        """Everything, for machines."""

        def both(timing: Timing) -> dict[str, float]:
            return {"wall": round(timing.wall, 4), "cpu": round(timing.cpu, 4)}

        report: dict[str, Any] = {
            "command": "bench",
            "machine": {
                "cores": os.cpu_count(),
                "platform": platform.platform(),
                "python": platform.python_version(),
            },
            "drive": self.drive,
            "size": list(self.size),
            "frames": self.frames,
            "engine": self.engine,
            "fps": round(self.fps, 2),
            "total": both(self.total),
            "clock": {name: round(value, 4) for name, value in self.clock.items()},
            "alone": {name: both(timing) for name, timing in self.alone.items()},
            "plain_transcode": both(self.transcode),
            "overhead": {kind: round(self.overhead(kind), 3) for kind in ("wall", "cpu")},
            "peak_rss": self.peak,
            "bars": {"fps": SPEED_BAR, "overhead": OVERHEAD_BAR},
        }
        if self.growth is not None:
            grown = self.growth.long - self.growth.short
            report["growth"] = {
                "frames": [SHORT_JOB, self.growth.frames],
                "peak_rss": [self.growth.short, self.growth.long],
                "bytes": grown,
                "bar": GROWTH_BAR,
            }
        return report

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heading and lines, for people: ms a frame, and each stage's share of the CPU time of all stages alone."""
        share = sum(t.cpu for t in self.alone.values()) or 1e-9

        def line(name: str, timing: Timing, part: str = "") -> list[str]:
            per = 1000 / max(self.frames, 1)
            return [name, f"{timing.wall * per:.2f}", f"{timing.cpu * per:.2f}", part]

        lines = [line(name, t, f"{100 * t.cpu / share:.0f} %") for name, t in self.alone.items()]
        lines.append(line("plain transcode", self.transcode))
        lines.append(line("end to end", self.total))
        return ["stage", "wall ms/frame", "CPU ms/frame", "share"], lines

    def summary(self) -> str:
        """The figures that have a bar, in a sentence or two."""
        text = (
            f"{self.frames} frames of {self.size[0]}x{self.size[1]}: {self.fps:.1f} frames/s end to end (bar {SPEED_BAR:g}); "
            f"overhead {self.overhead('wall'):.2f} wall, {self.overhead('cpu'):.2f} CPU (bar {OVERHEAD_BAR:g}); "
            f"peak memory {self.peak / 2**20:.0f} MiB."
        )
        if self.growth is not None:
            grown = (self.growth.long - self.growth.short) / 2**20
            text += f" {self.growth.frames} frames need {grown:+.0f} MiB more than {SHORT_JOB} (bar {GROWTH_BAR // 2**20})."
        return text


def pipeline(
    source: Path, drive: Path, target: Path, options: ReenactOptions
) -> Mapping[str, float]:
    """The real pipeline, as Work."""
    from thcli.pipeline.reenact import reenact

    return reenact(source, drive, target, options).stages


def bench(
    source: Path | None,
    drive: Path | None,
    options: ReenactOptions,
    bench: BenchOptions,
    work: Work = pipeline,
    on: Listener = silent,
) -> Bench:
    """Measures everything `repeat` times and keeps the quickest run of each.

    source, drive: None for the made ones (`testclip`). The stages alone hold the clip in memory. Raises what the pipeline raises.
    """
    with tempfile.TemporaryDirectory(prefix="thcli-bench-") as name:
        room = Path(name)
        told = _Told(on)
        source = source or _save_portrait(room, bench.size)
        drive = drive or write_test_clip(room / "drive.mp4", bench.frames, bench.size)
        told.step()
        options = replace(
            options,
            read=limited(drive, options.read, bench.frames),
            output=OutputOptions(overwrite=True),
        )
        reset_peak()
        total, clock = best(lambda: work(source, drive, room / "out.mp4", options), bench.repeat)
        peak = peak_rss()
        told.step()
        decode, frames = best(lambda: decode_alone(drive, options.read), bench.repeat)
        transcode, _ = best(
            lambda: plain_transcode(drive, len(frames), room / "plain.mp4", options.output),
            bench.repeat,
        )
        told.step()
        picture = media.read_image(source)
        runs = [Alone(options) for _ in range(bench.repeat)]
        pictures = [run.run(picture, frames) for run in runs][-1]
        alone = min(
            (run.stages for run in runs), key=lambda stages: sum(t.wall for t in stages.values())
        )
        told.step()
        made = [
            replace(frame, pixels=pixels) for frame, pixels in zip(frames, pictures, strict=True)
        ]
        encode, _ = best(
            lambda: encode_alone(made, room / "encoded.mp4", options.output), bench.repeat
        )
        told.step()
        stages = {
            "load": alone["load"],
            "decode": decode,
            **{k: alone[k] for k in ("track", "motion", "render")},
        }
        growth = _growth(room, bench.memory, bench.size) if bench.memory else None
        told.finish()
        return Bench(
            drive.name,
            made[0].size,
            len(frames),
            options.engine,
            total,
            clock,
            {**stages, "encode": encode},
            transcode,
            peak,
            growth,
        )


def write_test_clip(target: Path, frames: int, size: int) -> Path:
    """The made clip (`testclip`) as a video file, without sound."""
    rate = Fraction(25)
    with media.write(
        target, (size, size), None, OutputOptions(), time_base=1 / rate, rate=rate, frames=frames
    ) as out:
        for frame in astronaut_clip(frames, size):
            out.write(frame.pixels, frame.pts, frame.duration)
    return target


def _save_portrait(room: Path, size: int) -> Path:
    path = room / "source.png"
    save_picture(path, portrait(size))
    return path


def _growth(room: Path, frames: int, size: int) -> Growth:
    """Peak memory of `thcli reenact` on the made portrait, for SHORT_JOB and for so many frames."""
    source = _save_portrait(room, size)
    peaks = []
    for count in (SHORT_JOB, frames):
        drive = write_test_clip(room / f"long-{count}.mp4", count, size)
        peaks.append(
            peak_of_command(
                ["reenact", str(source), str(drive), "-o", str(room / f"out-{count}.mp4"), "-q"]
            )
        )
    return Growth(peaks[0], peaks[1], frames)


class _Told:
    """Tells a listener how far the benchmark is."""

    def __init__(self, on: Listener) -> None:
        self._on, self._done, self._begun = on, 0, time.perf_counter()
        on(Started("bench", STEPS, "steps"))

    def step(self) -> None:
        self._done += 1
        self._on(Step("bench", self._done))

    def finish(self) -> None:
        self._on(Finished("bench", self._done, time.perf_counter() - self._begun))
