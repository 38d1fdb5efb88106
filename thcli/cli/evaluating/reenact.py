"""`thcli eval reenact`: engines and finished videos in one table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.cli.report_options import RatedReportOptions, command_line
from thcli.core.errors import UsageError
from thcli.core.options import (
    EvaluateOptions,
    FaceOptions,
    MeshOptions,
    MotionOptions,
    ReadOptions,
    ReenactOptions,
    RunOptions,
    ShowOptions,
    option,
)


@dataclass(frozen=True, slots=True)
class ReenactRender:
    """Options of `thcli eval reenact`."""

    engine: str = option(
        ReenactOptions().engine,
        "Engines, separated by commas (thcli list engines); all: each that is ready.",
    )
    cross: bool = option(
        False, "Also let each clip drive the source of the one before it, another person."
    )
    result: list[Path] | None = option(
        None,
        "Measure this finished video, in place of engines; for several clips a folder with a video "
        "of the name of each. Repeatable.",
    )
    cache: Path | None = option(
        None, "Folder that keeps the features of FID for later evaluations of the same clips."
    )
    read: ReadOptions = field(default_factory=ReadOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    motion: MotionOptions = field(default_factory=MotionOptions)
    mesh: MeshOptions = field(default_factory=MeshOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def jobs(self, names: tuple[str, ...], own_mouth: bool) -> dict[str, ReenactOptions]:
        """Return the options of each rendering by its label."""
        jobs = {
            name: ReenactOptions(
                engine=name,
                read=self.read,
                faces=self.faces,
                motion=self.motion,
                mesh=self.mesh,
                run=self.run,
            )
            for name in names
        }
        if own_mouth:
            jobs |= {
                f"{name}, own mouth": replace(job, mouth="synthetic") for name, job in jobs.items()
            }
        return jobs


@flags
def reenact(
    clips: Annotated[
        list[Path],
        typer.Argument(
            metavar="CLIP...",
            help="True clips of one talking head each, folders of them, or a manifest.csv (clip, "
            "result, method).",
        ),
    ],
    *,
    report: RatedReportOptions,
    evaluate: EvaluateOptions,
    options: ReenactRender,
    show: ShowOptions,
) -> None:
    """Measure reenactment: clips driven by themselves and each other, or finished videos.

    Baselines stand beside them. Several clips give their mean.
    """
    from thcli.evaluate.benchmarks.reenactment.comparison import Comparison
    from thcli.evaluate.benchmarks.reenactment.engines import (
        EngineChoice,
        choose_engines,
        engine_facts,
    )
    from thcli.evaluate.benchmarks.reenactment.reenact import (
        CrossSetup,
        MeasureSetup,
        engine_renderer,
    )
    from thcli.evaluate.benchmarks.reenactment.reenact_table import ReenactEvaluation
    from thcli.evaluate.datasets.result_pairs import name_clips, read_inputs
    from thcli.evaluate.metrics.all_metrics import load_metrics, load_sets
    from thcli.evaluate.metrics.tracker import main_face_tracker
    from thcli.faces.identity.encoder import load_encoder

    report.refuse_existing(clips, evaluate, options)
    run = options.run
    found = name_clips(read_inputs(clips, options.result or ()))
    finished = any(clip.results for clip in found.values())
    if options.cross and (finished or len(found) < 2):
        raise UsageError(
            "--cross lets one clip drive the source of another.", "Give two clips, and no results."
        )
    with Console(show) as console, report.folder() as folder:
        choice = EngineChoice((), {}) if finished else choose_engines(options.engine, run)
        for name, what in choice.absent.items():
            console.say(f"{name} is not run: {what}")
        jobs = options.jobs(choice.ready, evaluate.own_mouth)
        identities, sets = load_encoder(options.faces.identity, run), load_sets(run, options.cache)
        metrics = load_metrics(evaluate, identities, run)
        set_metrics = (metric for one in sets for metric in one.metrics())
        comparison = Comparison(
            {label: engine_renderer(label, job, console) for label, job in jobs.items()},
            MeasureSetup(main_face_tracker(options.faces, run), (*metrics, *set_metrics)),
            CrossSetup(identities, sets),
            evaluate,
            options.read,
            None if folder is None else folder.path,
        )
        measured = ReenactEvaluation(
            comparison.measure_clips(found, console),
            comparison.measure_pairs(found, console) if options.cross else {},
            {label: engine_facts(job.engine) for label, job in jobs.items()},
            choice.absent,
        )
        content = measured.report(command_line())
        page = measured.page("Reenactment", content["run"], comparison.players)
        report.save_all(content, measured.tables(), measured.sheet, page, folder)
        console.say(content["run"])
    console.tables(measured.tables(), content)
