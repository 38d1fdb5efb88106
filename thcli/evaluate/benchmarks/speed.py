"""`thcli bench`: speed of a reenactment from file to file, its stages, and the unavoidable work."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.options import BenchOptions, OutputOptions, ReenactOptions
from thcli.core.temp_folders import temporary_folder
from thcli.evaluate.benchmarks.baseline import (
    IsolatedStages,
    Timing,
    decode_alone,
    encode_alone,
    fastest_run,
    plain_transcode,
)
from thcli.evaluate.benchmarks.memory import peak_rss, reset_peak
from thcli.evaluate.benchmarks.progress import step_progress
from thcli.evaluate.benchmarks.reenactment.reenact import limit_frames
from thcli.evaluate.datasets.sample_clip import save_portrait, write_test_clip

OVERHEAD_BAR = 1.5  # total time over plain transcode + track + render
SPEED_BAR = 25.0  # frames a second at 512 x 512
STEPS = 5  # of the progress

Work = Callable[[Path, Path, Path, ReenactOptions], Mapping[str, float]]
"""Reenactment of source and drive to target.

It returns the wall seconds of its stages by its own clock.
"""


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

    @property
    def fps(self) -> float:
        """Return the frames per second of wall time, end to end."""
        return self.frames / max(self.total.wall, 1e-9)

    def overhead(self, kind: str) -> float:
        """Return the total time over that of the plain transcode and the engine's stages alone.

        kind: "wall" or "cpu".
        """
        needed = self.transcode
        for name in ("load", "track", "follow", "motion", "render"):
            needed = needed + self.alone.get(name, Timing())
        return float(getattr(self.total, kind) / max(getattr(needed, kind), 1e-9))

    def as_json(self) -> dict[str, Any]:
        """Return all values for JSON."""

        def rounded(timing: Timing) -> dict[str, float]:
            return {"wall": round(timing.wall, 4), "cpu": round(timing.cpu, 4)}

        return {
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
        return (
            f"{frames} of {self.size[0]}x{self.size[1]}: "
            f"{self.fps:.1f} frames/s end to end (required {SPEED_BAR:g}); "
            f"overhead {wall:.2f} wall, {cpu:.2f} CPU (limit {OVERHEAD_BAR:g}); "
            f"peak memory {self.peak / 2**20:.0f} MiB."
        )


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
    with temporary_folder() as folder, step_progress("bench", STEPS, on) as step:
        source = source or save_portrait(folder / "source.png", bench.size)
        drive = drive or write_test_clip(folder / "drive.mp4", bench.frames, bench.size)
        step()
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
        step()
        decode, frames = fastest_run(lambda: decode_alone(drive, options.read), bench.repeat)
        transcode, _ = fastest_run(
            lambda: plain_transcode(drive, len(frames), folder / "plain.mp4", options.output),
            bench.repeat,
        )
        step()
        image = media.read_image(source)
        runs = [IsolatedStages(options) for _ in range(bench.repeat)]
        images = [run.run(image, frames) for run in runs][-1]
        alone = min((run.stages for run in runs), key=_wall_seconds)
        step()
        rendered = [
            replace(frame, pixels=pixels) for frame, pixels in zip(frames, images, strict=True)
        ]
        encode, _ = fastest_run(
            lambda: encode_alone(rendered, folder / "encoded.mp4", options.output), bench.repeat
        )
        step()
        stages = {"load": alone["load"], "decode": decode}
        stages |= {name: alone[name] for name in ("track", "follow", "motion", "render")}
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
        )


def _wall_seconds(stages: Mapping[str, Timing]) -> float:
    return sum(timing.wall for timing in stages.values())
