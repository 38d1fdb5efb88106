"""`thcli bench`: speed and memory of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.options import (
    BenchOptions,
    FaceOptions,
    MeshOptions,
    ReenactOptions,
    RunOptions,
    ShowOptions,
)


@flags
def bench(
    source: Annotated[
        Path | None, typer.Argument(help="A portrait (default: one that is made).")
    ] = None,
    drive: Annotated[
        Path | None, typer.Argument(help="A video (default: one that is made).")
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="What renders (thcli list engines).")
    ] = ReenactOptions().engine,
    *,
    bench: BenchOptions,
    faces: FaceOptions,
    mesh: MeshOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure speed and memory of a reenactment on this machine, from file to file and stage by stage."""
    from thcli.evaluate.benchmarks.speed import bench as measured

    options = replace(ReenactOptions(), engine=engine, faces=faces, mesh=mesh, run=run)
    with Console(show) as console:
        found = measured(source, drive, options, bench, on=console)
        console.say(found.summary())
    console.table(*found.table(), found.as_json(), headed=True)
