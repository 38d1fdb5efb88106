"""`thcli eval` of results: refining, editing, crop stability."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.cli.report_options import ReportOptions, SheetReportOptions, command_line
from thcli.core.errors import UsageError
from thcli.core.options import (
    CompositingOptions,
    EditEvaluateOptions,
    EditOptions,
    EditorOptions,
    EditRegion,
    EvaluateOptions,
    FaceOptions,
    FindOptions,
    ReadOptions,
    ReenactOptions,
    RefineEvaluateOptions,
    RefineOptions,
    RunOptions,
    ShowOptions,
    StabilityEvaluateOptions,
    option,
)

app = typer.Typer(
    help="Measure results against the truth.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def group() -> None:
    """Measure results against the truth."""


@dataclass(frozen=True, slots=True)
class RefineRender:
    """Options of `thcli eval refine`."""

    measured: RefineEvaluateOptions = field(default_factory=RefineEvaluateOptions)
    refine: RefineOptions = field(default_factory=RefineOptions)
    change: CompositingOptions = field(default_factory=CompositingOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    run: RunOptions = field(default_factory=RunOptions)


@app.command()
@flags
def refine(
    clips: Annotated[
        list[Path], typer.Argument(metavar="CLIP...", help="True clips of one talking head each.")
    ],
    *,
    report: SheetReportOptions,
    evaluate: EvaluateOptions,
    options: RefineRender,
    show: ShowOptions,
) -> None:
    """Measure a refiner: clips rendered from their own first frame, refined, against the truth.

    Several clips give their mean.
    """
    from thcli import media
    from thcli.engines.backends import MESH_ENGINE
    from thcli.evaluate.benchmarks import refine as benchmark
    from thcli.evaluate.benchmarks import refine_table
    from thcli.evaluate.benchmarks.reenactment.reenact import ClipRenderer, engine_renderer
    from thcli.evaluate.datasets.coarse_clips import (
        DEGRADED,
        WEAK,
        WEAK_MOTION,
        degraded_renderer,
        file_renderer,
        weak_renderer,
    )
    from thcli.evaluate.metrics.all_metrics import load_metrics
    from thcli.evaluate.metrics.tracker import main_face_tracker
    from thcli.evaluate.reports.contact_sheet import stack_sheets
    from thcli.media.writing.provenance import engine_of
    from thcli.pipeline.observe.face_finder import FaceFinder
    from thcli.pipeline.refining.refine_pass import RefinePass
    from thcli.refiners.backends import REFINERS, choose_refiner
    from thcli.weights.backend import refuse_unread_options

    report.refuse_existing(clips, evaluate, options)
    measured, faces, run = options.measured, options.faces, options.run
    with Console(show) as console, report.folder() as folder:
        coarse_file = None if measured.coarse is None else Path(measured.coarse)
        if coarse_file is not None and len(clips) > 1:
            raise UsageError("--coarse is the coarse video of one clip.", "Give one CLIP.")
        mesh_frames = measured.coarse_engine == MESH_ENGINE
        if coarse_file is not None:
            mesh_frames = engine_of(media.probe(coarse_file).metadata) == MESH_ENGINE
        name = choose_refiner(measured.engine, run, mesh_frames=mesh_frames)
        refuse_unread_options(options, [name], REFINERS)
        refine_pass = RefinePass.load(name, options.refine, options.change, run)
        coarse: ClipRenderer = degraded_renderer
        if coarse_file is not None:
            coarse = file_renderer(coarse_file)
        elif measured.coarse_engine == WEAK:
            slow = ReenactOptions(motion=WEAK_MOTION, faces=faces, run=run)
            coarse = weak_renderer(engine_renderer(MESH_ENGINE, slow, console))
        elif measured.coarse_engine != DEGRADED:
            render = ReenactOptions(engine=measured.coarse_engine, faces=faces, run=run)
            coarse = engine_renderer(measured.coarse_engine, render, console)
        face_finder = FaceFinder.load(faces, run)
        metrics = load_metrics(evaluate, face_finder.identity, run)
        tracker = main_face_tracker(faces, run)
        setup = benchmark.RefineSetup(coarse, refine_pass, face_finder, tracker, metrics)
        found, evaluations = [], []
        for clip in clips:
            one, evaluation = benchmark.evaluate_refine(
                clip, setup, evaluate, options.read, measured, on=console
            )
            found.append(one)
            evaluations.append(evaluation)
        mean = found[0] if len(found) == 1 else refine_table.average_measurements(found)
        content = {
            **evaluations[-1].report(command_line()),
            "inputs": [str(clip) for clip in clips],
            **refine_table.as_json(mean),
            "clips": {one.name: refine_table.as_json(one) for one in found},
        }
        sheets = [evaluation.sheet for evaluation in evaluations]
        tables = refine_table.tables(mean, metrics)
        page = refine_table.page(found, evaluations, tables, content["run"])
        report.save_all(content, tables, lambda: stack_sheets(sheets), page, folder)
        console.say(content["run"])
    console.tables(tables, content)


@dataclass(frozen=True, slots=True)
class EditRender:
    """Options of `thcli eval edit`."""

    attr: list[str] | None = option(None, "NAME or NAME=S, as for thcli edit. Repeatable.")
    text: str | None = option(None, "Description of the edited face, in words.")
    engine: str = option(EditOptions().engine, "Editor or painter, as for thcli edit.")
    strength: float = option(EditOptions().strength, "Gain of the whole edit, 0..3.")
    region: EditRegion = option(
        EditOptions().region, "Region that may change: auto, face, hair or all."
    )
    each: bool = option(False, "Measure every attribute by itself, not all at once.")
    editor: EditorOptions = field(default_factory=EditorOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def edits(self) -> list[EditOptions]:
        """Return the options of each edit."""
        wanted = [[one] for one in self.attr] if self.each and self.attr else [self.attr]
        return [
            EditOptions(
                attr=attributes,
                text=self.text,
                engine=self.engine,
                strength=self.strength,
                region=self.region,
                editor=self.editor,
                read=self.read,
                faces=self.faces,
                run=self.run,
            )
            for attributes in wanted
        ]


@dataclass(frozen=True, slots=True)
class EditReportOptions(SheetReportOptions):
    """Report."""

    strengths: Path | None = option(
        None, "Also write the values that 'thcli list attributes' shows (with --each)."
    )


@app.command()
@flags
def edit(
    clips: Annotated[
        list[Path],
        typer.Argument(
            metavar="CLIP...", help="Clips of one talking head each; several give their mean."
        ),
    ],
    *,
    report: EditReportOptions,
    evaluate: EditEvaluateOptions,
    options: EditRender,
    show: ShowOptions,
) -> None:
    """Measure edits: strength of the attribute, identity, stability, side effects."""
    from thcli.evaluate.benchmarks import edit_table
    from thcli.evaluate.reports.report import save_report

    report.refuse_existing(clips, evaluate, options)
    if report.strengths is not None and not (options.each and options.attr):
        raise UsageError(
            "--strengths writes attributes one by one.", "Give --each and --attr as well."
        )
    with Console(show) as console, report.folder() as folder:
        found = edit_table.evaluate_all(clips, options.edits(), evaluate, console)
        content = {**found.report(), "run": command_line()}
        page = found.page(content["run"])
        report.save_all(content, [found.table()], found.sheet, page, folder)
        if report.strengths is not None:
            save_report(report.strengths, found.strengths(content["run"]))
        console.say(content["run"])
    console.table(*found.table(), content, headed=True)


@app.command()
@flags
def steady(
    image: Annotated[
        Path | None,
        typer.Argument(help="Image of a face (default: the astronaut of scikit-image)."),
    ] = None,
    *,
    report: ReportOptions,
    evaluate: StabilityEvaluateOptions,
    find: FindOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure the jitter of a still head's crop and the lag of a moving one's.

    Clips are synthetic, with known truth.
    """
    from thcli import media
    from thcli.evaluate.benchmarks.crop_stability import as_json, evaluate_steady, table
    from thcli.evaluate.datasets.sample_clip import photograph

    report.refuse_existing([image])
    with Console(show) as console:
        pixels = photograph() if image is None else media.read_image(image)
        name = "astronaut" if image is None else str(image)
        rows = evaluate_steady(pixels, name, find, evaluate, run, console)
        content = as_json(rows, name, evaluate, command_line())
        report.save(content, [table(rows)])
        console.say(content["run"])
    console.table(*table(rows), content, headed=True)
