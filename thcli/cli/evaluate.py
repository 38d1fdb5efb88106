"""`thcli eval`: how good results are, in numbers and pictures (parsers, voices and other models: `evaluate_models`)."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.errors import OutputError, UsageError
from thcli.core.options import (
    ChangeOptions,
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
    SteadyEvaluateOptions,
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


@app.command()
@flags
def reenact(
    truth: Annotated[Path, typer.Argument(help="The true clip: one talking head.")],
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="Finished videos to compare with it (default: render the clip anew)."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Also write a contact sheet here, as PNG.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.")
    ] = False,
    engine: Annotated[
        str, typer.Option("--engine", help="What renders (thcli list engines).")
    ] = ReenactOptions().engine,
    *,
    evaluate: EvaluateOptions,
    read: ReadOptions,
    faces: FaceOptions,
    motion: MotionOptions,
    mesh: MeshOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure reenactment: a clip driven by itself from one of its frames, or finished videos, beside the trivial answers and the truth."""
    from dataclasses import replace

    from thcli.evaluate.benchmarks.reenact import engine_renderer, evaluate_self, evaluate_videos
    from thcli.evaluate.metrics.tracker import main_face_tracker
    from thcli.evaluate.reports.contact_sheet import save_picture
    from thcli.faces.identity.encoder import encoder

    refuse_existing(overwrite, output, sheet)
    options = ReenactOptions(
        engine=engine, read=read, faces=faces, motion=motion, mesh=mesh, run=run
    )
    with Console(show) as console:
        tracker = main_face_tracker(faces, run)
        metrics = _metrics(evaluate, encoder(faces.identity, run), run)
        if results:
            found = evaluate_videos(
                truth, labels(results), tracker, evaluate, read, console, metrics
            )
        else:
            engines = {engine: engine_renderer(engine, options, console)}
            if evaluate.own_mouth:
                plain = replace(options, mouth="synthetic")
                engines[f"{engine}, own mouth"] = engine_renderer(
                    f"{engine}-own-mouth", plain, console
                )
            found = evaluate_self(truth, engines, tracker, evaluate, read, console, metrics)
        report = found.report(shlex.join(["thcli", *sys.argv[1:]]))
        if sheet is not None:
            save_picture(sheet, found.sheet)
            report["sheet"] = str(sheet)
        save(output, report)
        console.say(report["run"])
    console.table(*found.table(), report, headed=True)


@app.command()
@flags
def refine(
    clips: Annotated[
        list[Path], typer.Argument(metavar="CLIP...", help="True clips of one talking head each.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Also write a contact sheet here, as PNG.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.")
    ] = False,
    *,
    measured: RefineEvaluateOptions,
    evaluate: EvaluateOptions,
    how: RefineOptions,
    change: ChangeOptions,
    read: ReadOptions,
    faces: FaceOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure a refiner: clips rendered from their own first frame, refined, beside the truth; several clips give their mean."""
    from thcli.evaluate.benchmarks import refine as measuring
    from thcli.evaluate.benchmarks.reenact import engine_renderer
    from thcli.evaluate.metrics.tracker import main_face_tracker
    from thcli.evaluate.reports.contact_sheet import save_picture
    from thcli.pipeline.refining.refine_pass import RefinePass
    from thcli.pipeline.sources.source_image import FaceFinder

    refuse_existing(overwrite, output, sheet)
    with Console(show) as console:
        refinery = RefinePass.load(measured.engine, how, change, run)
        coarse = engine_renderer(
            measured.coarse_engine,
            ReenactOptions(engine=measured.coarse_engine, faces=faces, run=run),
            console,
        )
        face_finder = FaceFinder.load(faces, run)
        metrics = _metrics(evaluate, face_finder.identity, run)
        found, sheets = [], []
        for clip in clips:
            one, seen = measuring.evaluate_refine(
                clip,
                coarse,
                refinery,
                face_finder,
                main_face_tracker(faces, run),
                evaluate,
                read,
                untouched=measured.untouched,
                on=console,
                metrics=metrics,
            )
            found.append(one)
            sheets.append(seen.sheet)
        whole = found[0] if len(found) == 1 else measuring.mean_of(found)
        command = shlex.join(["thcli", *sys.argv[1:]])
        report = {
            **seen.report(command),
            "inputs": [str(clip) for clip in clips],
            **measuring.as_json(whole),
        }
        report["clips"] = {one.name: measuring.as_json(one) for one in found}
        if sheet is not None:
            save_picture(sheet, measuring.stacked(sheets))
            report["sheet"] = str(sheet)
        save(output, report)
        console.say(command)
    console.table(*measuring.table(whole, metrics), report, headed=True)


@app.command()
@flags
def edit(
    clips: Annotated[
        list[Path],
        typer.Argument(
            metavar="CLIP...", help="Clips of one talking head each; several give their mean."
        ),
    ],
    attr: Annotated[
        list[str] | None,
        typer.Option("--attr", help="NAME or NAME=S, as for thcli edit; may be repeated."),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="What the face shall look like, in words.")
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="What edits, as for thcli edit.")
    ] = EditOptions().engine,
    strength: Annotated[
        float, typer.Option("--strength", help="Of the whole edit, 0..3.")
    ] = EditOptions().strength,
    region: Annotated[
        EditRegion, typer.Option("--region", help="What may change: auto, face, hair or all.")
    ] = EditOptions().region,
    each: Annotated[
        bool, typer.Option("--each", help="Every attribute by itself, not all at once.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Also write a contact sheet here, as PNG.")
    ] = None,
    strengths: Annotated[
        Path | None,
        typer.Option(
            "--strengths",
            help="Also note here what was measured of each attribute, as 'thcli list attributes' shows it (with --each).",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.")
    ] = False,
    *,
    evaluate: EditEvaluateOptions,
    editor: EditorOptions,
    read: ReadOptions,
    faces: FaceOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure edits: how much more of an attribute is seen, whether the face stays steady and itself, and what else has changed."""
    from thcli.evaluate.benchmarks import edit_table
    from thcli.evaluate.reports.contact_sheet import save_picture
    from thcli.evaluate.reports.report import save_report

    refuse_existing(overwrite, output, sheet, strengths)
    if strengths is not None and not (each and attr):
        raise UsageError("--strengths notes attributes one by one.", "Give --each and --attr.")
    wishes = [[one] for one in attr] if each and attr else [attr]
    asked = [
        EditOptions(
            attr=one,
            text=text,
            engine=engine,
            strength=strength,
            region=region,
            editor=editor,
            read=read,
            faces=faces,
            run=run,
        )
        for one in wishes
    ]
    with Console(show) as console:
        found = edit_table.evaluate_all(clips, asked, evaluate, console)
        report = {**found.report(), "run": shlex.join(["thcli", *sys.argv[1:]])}
        if sheet is not None:
            save_picture(sheet, found.sheet())
            report["sheet"] = str(sheet)
        save(output, report)
        if strengths is not None:
            save_report(strengths, found.strengths(report["run"]))
        console.say(report["run"])
    console.table(*found.table(), report, headed=True)


@app.command()
@flags
def steady(
    picture: Annotated[
        Path | None,
        typer.Argument(help="A picture of a face (default: the astronaut of scikit-image)."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
    *,
    evaluate: SteadyEvaluateOptions,
    find: FindOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure how still a still head's crop stands and whether a moving head's comes in time, on made clips whose truth is known."""
    from thcli import media
    from thcli.evaluate.benchmarks.crop_stability import as_json, evaluate_steady, table
    from thcli.evaluate.datasets.test_clip import photograph

    refuse_existing(overwrite, output)
    with Console(show) as console:
        pixels, name = (
            (photograph(), "astronaut")
            if picture is None
            else (media.read_image(picture), str(picture))
        )
        rows = evaluate_steady(pixels, name, find, evaluate, run, console)
        report = as_json(rows, name, evaluate, shlex.join(["thcli", *sys.argv[1:]]))
        save(output, report)
        console.say(report["run"])
    console.table(*table(rows), report, headed=True)


def _metrics(
    evaluate: EvaluateOptions, who: IdentityEncoder | None, run: RunOptions
) -> tuple[Metric, ...]:
    """All that videos of one face are measured by. who: tells persons apart, if anything does. Raises WeightsError, DeviceError."""
    from thcli.evaluate.metrics import lpips, pfd
    from thcli.evaluate.metrics.csim import csim
    from thcli.evaluate.metrics.table import metrics_of
    from thcli.motion.backends import FACE_MODELS

    model = FACE_MODELS.resolve(evaluate.model3d, run)
    common = (
        *metrics_of(model, FACE_MODELS.backend(model).load(run)),
        *pfd.metrics(run),
        *lpips.metrics(run),
    )
    return common if who is None else (*common, csim(who))


def refuse_existing(overwrite: bool, *outputs: Path | None) -> None:
    """Raises OutputError for an output that is there, before anything is measured."""
    for path in outputs:
        if path is not None and path.exists() and not overwrite:
            raise OutputError(
                f"{path} exists already.", "Choose another name, or pass --overwrite."
            )


def save(output: Path | None, report: dict[str, Any]) -> None:
    """Writes the report where that is asked for, and notes in it where."""
    from thcli.evaluate.reports.report import save_report

    if output is not None:
        save_report(output, report)
        report["output"] = str(output)


def labels(results: list[Path]) -> dict[str, Path]:
    """Names of the results in the table: those of the files, with their folders where two are alike. Raises UsageError."""
    names = [path.name for path in results]
    found = [path.name if names.count(path.name) == 1 else str(path) for path in results]
    reserved = {"copy", "align", "truth"} & set(found)
    if reserved or len(set(found)) < len(found):
        what = f"named {reserved.pop()!r}" if reserved else "given twice"
        raise UsageError(f"A result is {what} and cannot be told apart in the table.", "Rename it.")
    return dict(zip(found, results, strict=True))
