"""`thcli bench`: speed and memory of this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.options import (
    BenchOptions,
    FaceOptions,
    MemoryOptions,
    MeshOptions,
    ReenactOptions,
    RunOptions,
    ShowOptions,
    option,
)


@dataclass(frozen=True, slots=True)
class BenchRender:
    """Options of `thcli bench`."""

    engine: str = option(ReenactOptions().engine, "Engine (thcli list engines).")
    faces: FaceOptions = field(default_factory=FaceOptions)
    mesh: MeshOptions = field(default_factory=MeshOptions)
    run: RunOptions = field(default_factory=RunOptions)


@flags
def bench(
    source: Annotated[
        Path | None, typer.Argument(help="Portrait (default: a generated one).")
    ] = None,
    drive: Annotated[Path | None, typer.Argument(help="Video (default: a generated one).")] = None,
    *,
    bench: BenchOptions,
    memory: MemoryOptions,
    options: BenchRender,
    show: ShowOptions,
) -> None:
    """Measure speed and memory of a reenactment, and every network on a GPU."""
    from thcli.evaluate.benchmarks import networks, pixels
    from thcli.evaluate.benchmarks.growth import growth_table, measure_growth
    from thcli.evaluate.benchmarks.speed import bench as run_benchmark

    reenact = ReenactOptions(
        engine=options.engine, faces=options.faces, mesh=options.mesh, run=options.run
    )
    report: dict[str, Any] = {}
    tables = []
    compared: list[networks.NetworkResult] = []
    pasted: list[pixels.PixelResult] = []
    with Console(show) as console:
        if networks.includes_networks(bench, options.run):
            compared = networks.compare_networks(options.run, repeat=bench.repeat, on=console)
            report["networks"] = [row.as_json() for row in compared]
            tables.append(networks.network_table(compared))
            pasted = pixels.compare_pixels(options.run, bench.repeat)
            report["pixels"] = [one.as_json() for one in pasted]
            tables.append(pixels.pixel_table(pasted))
        found = run_benchmark(source, drive, reenact, bench, on=console)
        console.say(found.summary())
        report |= found.as_json()
        tables.append(found.table())
        if memory.memory:
            grown = measure_growth(memory, on=console)
            report["memory"] = [row.as_json() for row in grown]
            tables.append(growth_table(grown))
    console.tables(tables, report)
    networks.require_equal([*compared, *pasted], options.run.device)
