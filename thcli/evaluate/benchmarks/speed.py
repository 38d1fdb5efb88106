"""`thcli bench`: speed of a reenactment from file to file, its stages, and the unavoidable work."""

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
    IsolatedStages,
    Timing,
    decode_alone,
    encode_alone,
    fastest_run,
    plain_transcode,
)
from thcli.evaluate.benchmarks.memory import peak_of_command, peak_rss, reset_peak
from thcli.evaluate.benchmarks.reenact import limit_frames
from thcli.evaluate.datasets.sample_clip import astronaut_clip, portrait
from thcli.evaluate.reports.contact_sheet import save_image

OVERHEAD_BAR = 1.5  # total time over plain transcode + track + render
SPEED_BAR = 25.0  # frames a second at 512 x 512
GROWTH_BAR = 50 * 2**20  # bytes that a long job may need more than a short one
SHORT_JOB = 200  # frames
STEPS = 5  # of the progress

Work = Callable[[Path, Path, Path, ReenactOptions], Mapping[str, float]]
"""Reenactment of source and drive to target.

It returns the wall seconds of its stages by its own clock.
"""


@dataclass(frozen=True, slots=True)
class MemoryGrowth:
    """Peak bytes of a short and a long job, each in its own process."""

    short: int
    long: int
    frames: int


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Measurements of one benchmark.

    total: file to file, loading included.
    clock: wall seconds of the pipeline's own stages, which overlap.
    alone: each stage by itself.
    transcode: plain transcode.
    peak: peak resident bytes during the total.
    """

    drive: str
    size: tuple[int, int]
    frames: int
    engine: str
    total: Timing
    clock: Mapping[str, float]
    alone: Mapping[str, Timing]
    transcode: Timing
    peak: int
    growth: MemoryGrowth | None = None

    @property
    def fps(self) -> float:
        """Return the frames per second of wall time, end to end."""
        return self.frames / max(self.total.wall, 1e-9)

    def overhead(self, kind: str) -> float:
        """Return the total time over that of the plain transcode and the engine's stages alone.

        kind: "wall" or "cpu".
        """
        needed = self.transcode
        for name in ("load", "track", "motion", "render"):
            needed = needed + self.alone.get(name, Timing())
        return float(getattr(self.total, kind) / max(getattr(needed, kind), 1e-9))

    def as_json(self) -> dict[str, Any]:
        """Return all values for JSON."""

        def rounded(timing: Timing) -> dict[str, float]:
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
            "total": rounded(self.total),
            "clock": {name: round(value, 4) for name, value in self.clock.items()},
            "alone": {name: rounded(timing) for name, timing in self.alone.items()},
            "plain_transcode": rounded(self.transcode),
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
        """Return heading and lines: ms per frame, and each stage's share of the CPU time."""
        total = sum(t.cpu for t in self.alone.values()) or 1e-9

        def line(name: str, timing: Timing, share: str = "") -> list[str]:
            ms_per_frame = 1000 / max(self.frames, 1)
            wall, cpu = timing.wall * ms_per_frame, timing.cpu * ms_per_frame
            return [name, f"{wall:.2f}", f"{cpu:.2f}", share]

        lines = [line(name, t, f"{100 * t.cpu / total:.0f} %") for name, t in self.alone.items()]
        lines.append(line("plain transcode", self.transcode))
        lines.append(line("end to end", self.total))
        return ["stage", "wall ms/frame", "CPU ms/frame", "share"], lines

    def summary(self) -> str:
        """Return the values that have a required limit, in one or two sentences."""
        frames = f"{self.frames} {'frame' if self.frames == 1 else 'frames'}"
        wall, cpu = self.overhead("wall"), self.overhead("cpu")
        text = (
            f"{frames} of {self.size[0]}x{self.size[1]}: "
            f"{self.fps:.1f} frames/s end to end (required {SPEED_BAR:g}); "
            f"overhead {wall:.2f} wall, {cpu:.2f} CPU (limit {OVERHEAD_BAR:g}); "
            f"peak memory {self.peak / 2**20:.0f} MiB."
        )
        if self.growth is not None:
            grown = (self.growth.long - self.growth.short) / 2**20
            text += (
                f" {self.growth.frames} frames need {grown:+.0f} MiB more than {SHORT_JOB} "
                f"(limit {GROWTH_BAR // 2**20})."
            )
        return text


def pipeline(
    source: Path, drive: Path, target: Path, options: ReenactOptions
) -> Mapping[str, float]:
    """Run the real pipeline as Work."""
    from thcli.pipeline.reenact import reenact

    return reenact(source, drive, target, options).stages


def bench(
    source: Path | None,
    drive: Path | None,
    options: ReenactOptions,
    bench: BenchOptions,
    work: Work = pipeline,
    on: Listener = silent,
) -> BenchResult:
    """Measure everything `repeat` times and keep the fastest run of each.

    The isolated stages hold the clip in memory. Raises what the pipeline raises.

    Args:
        source, drive: files, or None for the synthetic ones (`test_clip`).
        options: of the reenactment.
        bench: frames, size, repetitions.
        work: reenactment to measure.
        on: receives progress events.
    """
    with tempfile.TemporaryDirectory(prefix="thcli-bench-") as name:
        folder = Path(name)
        progress = _Progress(on)
        source = source or _save_portrait(folder, bench.size)
        drive = drive or write_test_clip(folder / "drive.mp4", bench.frames, bench.size)
        progress.step()
        options = replace(
            options,
            read=limit_frames(drive, options.read, bench.frames),
            output=OutputOptions(overwrite=True),
        )
        reset_peak()
        total, clock = fastest_run(
            lambda: work(source, drive, folder / "out.mp4", options), bench.repeat
        )
        peak = peak_rss()
        progress.step()
        decode, frames = fastest_run(lambda: decode_alone(drive, options.read), bench.repeat)
        transcode, _ = fastest_run(
            lambda: plain_transcode(drive, len(frames), folder / "plain.mp4", options.output),
            bench.repeat,
        )
        progress.step()
        image = media.read_image(source)
        runs = [IsolatedStages(options) for _ in range(bench.repeat)]
        images = [run.run(image, frames) for run in runs][-1]
        alone = min((run.stages for run in runs), key=_wall_seconds)
        progress.step()
        rendered = [
            replace(frame, pixels=pixels) for frame, pixels in zip(frames, images, strict=True)
        ]
        encode, _ = fastest_run(
            lambda: encode_alone(rendered, folder / "encoded.mp4", options.output), bench.repeat
        )
        progress.step()
        stages = {"load": alone["load"], "decode": decode}
        stages |= {name: alone[name] for name in ("track", "motion", "render")}
        growth = _growth(folder, bench.memory, bench.size) if bench.memory else None
        progress.finish()
        return BenchResult(
            drive=drive.name,
            size=rendered[0].size,
            frames=len(frames),
            engine=options.engine,
            total=total,
            clock=clock,
            alone={**stages, "encode": encode},
            transcode=transcode,
            peak=peak,
            growth=growth,
        )


def _wall_seconds(stages: Mapping[str, Timing]) -> float:
    return sum(timing.wall for timing in stages.values())


def write_test_clip(target: Path, frames: int, size: int) -> Path:
    """Write the synthetic clip (`test_clip`) as a video without sound."""
    rate = Fraction(25)
    with media.write(
        target,
        (size, size),
        None,
        OutputOptions(),
        media.WritePlan(time_base=1 / rate, rate=rate, frames=frames),
    ) as out:
        for frame in astronaut_clip(frames, size):
            out.write(frame.pixels, frame.pts, frame.duration)
    return target


def _save_portrait(folder: Path, size: int) -> Path:
    path = folder / "source.png"
    save_image(path, portrait(size))
    return path


def _growth(folder: Path, frames: int, size: int) -> MemoryGrowth:
    """Return the peak memory of `thcli reenact` for SHORT_JOB and for `frames` frames."""
    source = _save_portrait(folder, size)
    peaks = []
    for count in (SHORT_JOB, frames):
        drive = write_test_clip(folder / f"long-{count}.mp4", count, size)
        target = folder / f"out-{count}.mp4"
        peaks.append(peak_of_command(["reenact", str(source), str(drive), "-o", str(target), "-q"]))
    return MemoryGrowth(peaks[0], peaks[1], frames)


class _Progress:
    """Progress of the benchmark for a listener."""

    def __init__(self, on: Listener) -> None:
        self._on, self._done, self._begun = on, 0, time.perf_counter()
        on(Started("bench", STEPS, "steps"))

    def step(self) -> None:
        self._done += 1
        self._on(Step("bench", self._done))

    def finish(self) -> None:
        self._on(Finished("bench", self._done, time.perf_counter() - self._begun))
