"""`thcli eval` of results: reenactment, refining, editing, crop stability."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    MeshOptions,
    MotionOptions,
    ReadOptions,
    ReenactOptions,
    RefineEvaluateOptions,
    RefineOptions,
    RunOptions,
    ShowOptions,
    StabilityEvaluateOptions,
    option,
)

if TYPE_CHECKING:
    from thcli.core.protocols import IdentityEncoder
    from thcli.evaluate.metrics.table import Metric

app = typer.Typer(
    help="Measure results against the truth.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def group() -> None:
    """Measure results against the truth."""


@dataclass(frozen=True, slots=True)
class ReenactRender:
    """Options of `thcli eval reenact`."""

    engine: str = option(ReenactOptions().engine, "Engine (thcli list engines).")
    read: ReadOptions = field(default_factory=ReadOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    motion: MotionOptions = field(default_factory=MotionOptions)
    mesh: MeshOptions = field(default_factory=MeshOptions)
    run: RunOptions = field(default_factory=RunOptions)


@app.command()
@flags
def reenact(
    truth: Annotated[Path, typer.Argument(help="True clip of one talking head.")],
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="Finished videos to compare with it (default: render the clip)."),
    ] = None,
    *,
    report: SheetReportOptions,
    evaluate: EvaluateOptions,
    options: ReenactRender,
    show: ShowOptions,
) -> None:
    """Measure reenactment: a clip driven by itself, or finished videos, and baselines."""
    from thcli.evaluate.benchmarks.reenact import engine_renderer, evaluate_self, evaluate_videos
    from thcli.evaluate.metrics.tracker import main_face_tracker
    from thcli.faces.identity.encoder import load_encoder

    report.refuse_existing()
    read, run = options.read, options.run
    with Console(show) as console:
        tracker = main_face_tracker(options.faces, run)
        metrics = load_metrics(evaluate, load_encoder(options.faces.identity, run), run)
        if results:
            named = label_results(results)
            found = evaluate_videos(truth, named, tracker, evaluate, read, console, metrics)
        else:
            engines = {
                label: engine_renderer(name, job, console)
                for label, name, job in _engine_jobs(options, evaluate.own_mouth)
            }
            found = evaluate_self(truth, engines, tracker, evaluate, read, console, metrics)
        content = found.report(command_line())
        report.save_with_sheet(content, lambda: found.sheet)
        console.say(content["run"])
    console.table(*found.table(), content, headed=True)


def _engine_jobs(options: ReenactRender, own_mouth: bool) -> list[tuple[str, str, ReenactOptions]]:
    """Return label, file name and options of each rendering."""
    name = options.engine
    job = ReenactOptions(
        engine=name,
        read=options.read,
        faces=options.faces,
        motion=options.motion,
        mesh=options.mesh,
        run=options.run,
    )
    jobs = [(name, name, job)]
    if own_mouth:
        synthetic = replace(job, mouth="synthetic")
        jobs.append((f"{name}, own mouth", f"{name}-own-mouth", synthetic))
    return jobs


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
    from thcli.evaluate.benchmarks.reenact import ClipRenderer, engine_renderer
    from thcli.evaluate.datasets.coarse_clips import DEGRADED, degraded_renderer, file_renderer
    from thcli.evaluate.metrics.tracker import main_face_tracker
    from thcli.evaluate.reports.contact_sheet import stack_sheets
    from thcli.media.writing.provenance import engine_of
    from thcli.pipeline.observe.face_finder import FaceFinder
    from thcli.pipeline.refining.refine_pass import RefinePass
    from thcli.refiners.backends import REFINERS, choose_refiner
    from thcli.weights.backend import refuse_unread_options

    report.refuse_existing()
    measured, faces, run = options.measured, options.faces, options.run
    with Console(show) as console:
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
        mean = found[0] if len(found) == 1 else benchmark.average_measurements(found)
        content = {
            **evaluations[-1].report(command_line()),
            "inputs": [str(clip) for clip in clips],
            **benchmark.as_json(mean),
            "clips": {one.name: benchmark.as_json(one) for one in found},
        }
        sheets = [evaluation.sheet for evaluation in evaluations]
        report.save_with_sheet(content, lambda: stack_sheets(sheets))
        console.say(content["run"])
    console.table(*benchmark.table(mean, metrics), content, headed=True)


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

    report.refuse_existing()
    if report.strengths is not None and not (options.each and options.attr):
        raise UsageError(
            "--strengths writes attributes one by one.", "Give --each and --attr as well."
        )
    with Console(show) as console:
        found = edit_table.evaluate_all(clips, options.edits(), evaluate, console)
        content = {**found.report(), "run": command_line()}
        report.save_with_sheet(content, found.sheet)
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

    report.refuse_existing()
    with Console(show) as console:
        pixels = photograph() if image is None else media.read_image(image)
        name = "astronaut" if image is None else str(image)
        rows = evaluate_steady(pixels, name, find, evaluate, run, console)
        content = as_json(rows, name, evaluate, command_line())
        report.save(content)
        console.say(content["run"])
    console.table(*table(rows), content, headed=True)


def load_metrics(
    evaluate: EvaluateOptions, identities: IdentityEncoder | None, run: RunOptions
) -> tuple[Metric, ...]:
    """Return all metrics of videos of one face. Raises WeightsError, DeviceError.

    identities: backend of CSIM, None without one.
    """
    from thcli.evaluate.metrics import lpips, pfd
    from thcli.evaluate.metrics.csim import csim_metric
    from thcli.evaluate.metrics.table import metrics_for_model
    from thcli.motion.backends import FACE_MODELS

    model = FACE_MODELS.resolve(evaluate.model3d, run)
    common = (
        *metrics_for_model(model, FACE_MODELS.backend(model).load(run)),
        *pfd.load_metrics(run),
        *lpips.load_metrics(run),
    )
    return common if identities is None else (*common, csim_metric(identities))


def label_results(results: list[Path]) -> dict[str, Path]:
    """Return the results by label: the file's name, or its path where names are equal.

    Raises UsageError for a label that is used twice or reserved.
    """
    names = [path.name for path in results]
    found = [path.name if names.count(path.name) == 1 else str(path) for path in results]
    reserved = {"copy", "align", "truth"} & set(found)
    if reserved or len(set(found)) < len(found):
        what = f"named {reserved.pop()!r}" if reserved else "given twice"
        raise UsageError(f"A result is {what}, so its row has no unique label.", "Rename it.")
    return dict(zip(found, results, strict=True))
