"""`thcli eval`: how good results are, in numbers and pictures."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

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
    VoiceEvaluateOptions,
    VoiceOptions,
)

app = typer.Typer(help="Measure results against the truth.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Measure results against the truth."""


@app.command()
@flags
def reenact(
    truth: Annotated[Path, typer.Argument(help="The true clip: one talking head.")],
    results: Annotated[
        list[Path] | None, typer.Argument(help="Finished videos to compare with it (default: render the clip anew).")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")] = None,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Also write a contact sheet here, as PNG.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
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

    from thcli.core.backends import backend, chosen
    from thcli.evaluate import lpips, pfd
    from thcli.evaluate.follow import main_face_tracker
    from thcli.evaluate.likeness import csim
    from thcli.evaluate.reenact import engine_renderer, evaluate_self, evaluate_videos
    from thcli.evaluate.sheet import save_picture
    from thcli.evaluate.table import metrics_of
    from thcli.faces.identity.encoder import encoder

    _refuse_existing(overwrite, output, sheet)
    options = ReenactOptions(engine=engine, read=read, faces=faces, motion=motion, mesh=mesh, run=run)
    with Console(show) as console:
        tracker = main_face_tracker(faces, run)
        model = chosen("model3d", evaluate.model3d, run)
        metrics = (*metrics_of(model, backend("model3d", model).load(run)), *pfd.metrics(run), *lpips.metrics(run))
        who = encoder(faces.identity, run)
        if who is not None:
            metrics = (*metrics, csim(who))
        if results:
            found = evaluate_videos(truth, labels(results), tracker, evaluate, read, console, metrics)
        else:
            engines = {engine: engine_renderer(engine, options, console)}
            if evaluate.own_mouth:
                plain = replace(options, mouth="synthetic")
                engines[f"{engine}, own mouth"] = engine_renderer(f"{engine}-own-mouth", plain, console)
            found = evaluate_self(truth, engines, tracker, evaluate, read, console, metrics)
        report = found.report(shlex.join(["thcli", *sys.argv[1:]]))
        if sheet is not None:
            save_picture(sheet, found.sheet)
            report["sheet"] = str(sheet)
        _save(output, report)
        console.say(report["run"])
    console.table(*found.table(), report, headed=True)


@app.command()
@flags
def refine(
    clips: Annotated[list[Path], typer.Argument(metavar="CLIP...", help="True clips of one talking head each.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")] = None,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Also write a contact sheet here, as PNG.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
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
    from thcli.core.backends import backend, chosen
    from thcli.evaluate import lpips, pfd
    from thcli.evaluate import refine as measuring
    from thcli.evaluate.follow import main_face_tracker
    from thcli.evaluate.likeness import csim
    from thcli.evaluate.reenact import engine_renderer
    from thcli.evaluate.sheet import save_picture
    from thcli.evaluate.table import metrics_of
    from thcli.pipeline.portrait import Finders
    from thcli.pipeline.refinery import Refinery

    _refuse_existing(overwrite, output, sheet)
    with Console(show) as console:
        refinery = Refinery.load(measured.engine, how, change, run)
        coarse = engine_renderer(
            measured.coarse_engine, ReenactOptions(engine=measured.coarse_engine, faces=faces, run=run), console
        )
        model = chosen("model3d", evaluate.model3d, run)
        metrics = (*metrics_of(model, backend("model3d", model).load(run)), *pfd.metrics(run), *lpips.metrics(run))
        finders = Finders.load(faces, run)
        if finders.identity is not None:
            metrics = (*metrics, csim(finders.identity))
        found, sheets = [], []
        for clip in clips:
            one, seen = measuring.evaluate_refine(
                clip, coarse, refinery, finders, main_face_tracker(faces, run), evaluate, read,
                untouched=measured.untouched, on=console, metrics=metrics,
            )  # fmt: skip
            found.append(one)
            sheets.append(seen.sheet)
        whole = found[0] if len(found) == 1 else measuring.mean_of(found)
        command = shlex.join(["thcli", *sys.argv[1:]])
        report = {**seen.report(command), "inputs": [str(clip) for clip in clips], **measuring.as_json(whole)}
        report["clips"] = {one.name: measuring.as_json(one) for one in found}
        if sheet is not None:
            save_picture(sheet, measuring.stacked(sheets))
            report["sheet"] = str(sheet)
        _save(output, report)
        console.say(command)
    console.table(*measuring.table(whole, metrics), report, headed=True)


@app.command()
@flags
def edit(
    clips: Annotated[list[Path], typer.Argument(metavar="CLIP...", help="Clips of one talking head each; several give their mean.")],
    attr: Annotated[list[str] | None, typer.Option("--attr", help="NAME or NAME=S, as for thcli edit; may be repeated.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="What the face shall look like, in words.")] = None,
    engine: Annotated[str, typer.Option("--engine", help="What edits, as for thcli edit.")] = EditOptions().engine,
    strength: Annotated[float, typer.Option("--strength", help="Of the whole edit, 0..3.")] = EditOptions().strength,
    region: Annotated[EditRegion, typer.Option("--region", help="What may change: auto, face, hair or all.")] = EditOptions().region,
    each: Annotated[bool, typer.Option("--each", help="Every attribute by itself, not all at once.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")] = None,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Also write a contact sheet here, as PNG.")] = None,
    strengths: Annotated[Path | None, typer.Option("--strengths", help="Also note here what was measured of each attribute, as 'thcli list attributes' shows it (with --each).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    *,
    evaluate: EditEvaluateOptions,
    editor: EditorOptions,
    read: ReadOptions,
    faces: FaceOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:  # fmt: skip
    """Measure edits: how much more of an attribute is seen, whether the face stays steady and itself, and what else has changed."""
    from thcli.evaluate import editing
    from thcli.evaluate.report import save_report
    from thcli.evaluate.sheet import save_picture

    _refuse_existing(overwrite, output, sheet, strengths)
    if strengths is not None and not (each and attr):
        raise UsageError("--strengths notes attributes one by one.", "Give --each and --attr.")
    wishes = [[one] for one in attr] if each and attr else [attr]
    asked = [
        EditOptions(attr=one, text=text, engine=engine, strength=strength, region=region, editor=editor, read=read, faces=faces, run=run)
        for one in wishes
    ]  # fmt: skip
    with Console(show) as console:
        found = editing.evaluate_all(clips, asked, evaluate, console)
        report = {**found.report(), "run": shlex.join(["thcli", *sys.argv[1:]])}
        if sheet is not None:
            save_picture(sheet, found.sheet())
            report["sheet"] = str(sheet)
        _save(output, report)
        if strengths is not None:
            save_report(strengths, found.strengths(report["run"]))
        console.say(report["run"])
    console.table(*found.table(), report, headed=True)


@app.command()
@flags
def parse(
    dataset: Annotated[Path, typer.Argument(help="The folder that `thcli train parse` learnt from; its kept-out pairs count.")],
    parser: Annotated[str, typer.Option("--parser", help="Which parser (thcli list parser), or auto.")] = "auto",
    weights: Annotated[Path | None, typer.Option("--weights", help="parse-s with weights of one's own, from `thcli train parse`.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    *,
    faces: FaceOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:  # fmt: skip
    """Measure a face parser: intersection over union of each region on the pairs that training never saw."""
    from thcli.evaluate.parse import evaluate, parser_of
    from thcli.evaluate.parse_pairs import test_shelf
    from thcli.pipeline.portrait import Finders

    _refuse_existing(overwrite, output)
    with Console(show) as console:
        name, chosen = parser_of(parser, weights, run)
        found = evaluate(chosen, test_shelf(dataset), Finders.load(faces, run).find, console)
        report = {
            "command": "eval parse",
            "run": shlex.join(["thcli", *sys.argv[1:]]),
            "parser": name,
            **found.report(),
        }
        _save(output, report)
    console.table(*found.table(), report, headed=True)


@app.command()
@flags
def identity(
    dataset: Annotated[Path, typer.Argument(help="A folder with a folder of aligned faces for each person, none of them learnt from.")],
    names: Annotated[list[str] | None, typer.Option("--identity", help="Which backend (thcli list backends); may be repeated.")] = None,
    weights: Annotated[Path | None, typer.Option("--weights", help="Also identity-s with weights of one's own, from `thcli train identity`.")] = None,
    onnx: Annotated[list[Path] | None, typer.Option("--onnx", help="Also a network from an ONNX file; may be repeated.")] = None,
    onnx_input: Annotated[str, typer.Option("--onnx-input", help="Its pixels: imagenet, less ImageNet's mean; or arcface, within -1..1.")] = "imagenet",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    *,
    run: RunOptions,
    show: ShowOptions,
) -> None:  # fmt: skip
    """Measure identity backends: do two pictures show one person? Over all pairs of a set of aligned faces."""
    from thcli.evaluate.identity import encoders, verify

    _refuse_existing(overwrite, output)
    with Console(show) as console:
        found = verify(dataset, encoders(names or [], weights, onnx or [], onnx_input, run), console)
        report = {"command": "eval identity", "run": shlex.join(["thcli", *sys.argv[1:]]), **found.report()}
        _save(output, report)
    console.table(*found.table(), report, headed=True)


@app.command()
@flags
def attributes(
    dataset: Annotated[Path, typer.Argument(help="A folder with images/, attributes.txt and identities.txt, as CelebA has them.")],
    weights: Annotated[Path | None, typer.Option("--weights", help="A judge of one's own, from `thcli train judge` (default: the shipped one).")] = None,
    persons: Annotated[str, typer.Option("--persons", help="Persons whose number ends in one of these digits: none that was learnt from.")] = "9",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    *,
    run: RunOptions,
    show: ShowOptions,
) -> None:  # fmt: skip
    """Measure the classifier that measures edits: how often it is right about each of 40 attributes."""
    from thcli.evaluate.attributes import judge, measured, own_judge
    from thcli.evaluate.labelled import digits_of, labelled

    _report("eval attributes", output, overwrite, show, lambda: measured(own_judge(weights, run) if weights else judge(run), labelled(dataset).only(digits_of(persons))).report())  # fmt: skip


@app.command()
@flags
def words(
    dataset: Annotated[Path, typer.Argument(help="A folder with images/, attributes.txt and identities.txt, as CelebA has them.")],
    model: Annotated[str, typer.Option("--text-model", help="Which model (thcli list backends): clip-s, clip-b32, clip-b16.")] = "auto",
    weights: Annotated[Path | None, typer.Option("--weights", help="clip-s with weights of one's own, from `thcli train clip`.")] = None,
    persons: Annotated[str, typer.Option("--persons", help="Persons whose number ends in one of these digits: none that was learnt from.")] = "9",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    *,
    run: RunOptions,
    show: ShowOptions,
) -> None:  # fmt: skip
    """Measure a model of texts and pictures: 40 attributes by a pair of texts each, and what texts find."""
    from thcli.evaluate.labelled import digits_of, labelled
    from thcli.evaluate.words import knowledge, text_model

    _report("eval words", output, overwrite, show, lambda: knowledge(text_model(model, weights, run), labelled(dataset).only(digits_of(persons))).report())  # fmt: skip


def _refuse_existing(overwrite: bool, *outputs: Path | None) -> None:
    """Raises OutputError for an output that is there, before anything is measured."""
    for path in outputs:
        if path is not None and path.exists() and not overwrite:
            raise OutputError(f"{path} exists already.", "Choose another name, or pass --overwrite.")


def _save(output: Path | None, report: dict[str, Any]) -> None:
    """Writes the report where that is asked for, and notes in it where."""
    from thcli.evaluate.report import save_report

    if output is not None:
        save_report(output, report)
        report["output"] = str(output)


def _report(command: str, output: Path | None, overwrite: bool, show: ShowOptions, measure: Callable[[], dict[str, Any]]) -> None:  # fmt: skip
    """Measures, writes the report where that is asked for, and shows its numbers, a table of the attributes last."""

    _refuse_existing(overwrite, output)
    with Console(show) as console:
        report = {"command": command, "run": shlex.join(["thcli", *sys.argv[1:]]), **measure()}
        _save(output, report)
    each = {name: value if isinstance(value, dict) else {"auc": value} for name, value in report["attributes"].items()}
    columns = list(next(iter(each.values())))
    means = ["mean", *(f"{report[column]:.3f}" if column in report else "" for column in columns)]
    rows = [[name, *(f"{values[column]:.3f}" for column in columns)] for name, values in each.items()]
    console.table(["attribute", *columns], [*rows, means], report, headed=True)


@app.command()
@flags
def steady(
    picture: Annotated[
        Path | None, typer.Argument(help="A picture of a face (default: the astronaut of scikit-image).")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    *,
    evaluate: SteadyEvaluateOptions,
    find: FindOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure how still a still head's crop stands and whether a moving head's comes in time, on made clips whose truth is known."""
    from thcli import media
    from thcli.evaluate.steady import as_json, evaluate_steady, table
    from thcli.evaluate.testclip import photograph

    _refuse_existing(overwrite, output)
    with Console(show) as console:
        pixels, name = (photograph(), "astronaut") if picture is None else (media.read_image(picture), str(picture))
        rows = evaluate_steady(pixels, name, find, evaluate, run, console)
        report = as_json(rows, name, evaluate, shlex.join(["thcli", *sys.argv[1:]]))
        _save(output, report)
        console.say(report["run"])
    console.table(*table(rows), report, headed=True)


@app.command()
@flags
def a2m(
    dataset: Annotated[Path, typer.Argument(help="A folder of talking clips with sound; index.csv (file, speaker) says who speaks.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    *,
    evaluate: VoiceEvaluateOptions,
    voice: VoiceOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:  # fmt: skip
    """Measure how a voice moves the mouths of the people in a folder of clips, beside a mouth that follows the loudness and one that never moves."""
    from dataclasses import replace

    from thcli.core.backends import backend, chosen
    from thcli.evaluate import speech
    from thcli.pipeline import talking

    _refuse_existing(overwrite, output)
    name = chosen("voice", evaluate.voice, run)
    found = [(path, who) for path, who in talking.find(dataset) if not evaluate.chosen or who in evaluate.chosen]
    if not found:
        raise UsageError(f"None of the speakers is in {dataset}.", "Check --speakers.")
    options = replace(voice, temperature=voice.temperature or 0.0, pose="still", blink="none")
    with Console(show) as console:
        motions = Path(evaluate.motions) if evaluate.motions else None
        clips = speech.evaluate_voice(backend("voice", name).load(run), name, found, motions, options, console)
        report = {**speech.report(clips, name), "run": shlex.join(["thcli", *sys.argv[1:]])}
        _save(output, report)
        console.say(report["run"])
    console.table(*speech.table(report), report, headed=True)


def labels(results: list[Path]) -> dict[str, Path]:
    """Names of the results in the table: those of the files, with their folders where two are alike. Raises UsageError."""
    names = [path.name for path in results]
    found = [path.name if names.count(path.name) == 1 else str(path) for path in results]
    reserved = {"copy", "align", "truth"} & set(found)
    if reserved or len(set(found)) < len(found):
        what = f"named {reserved.pop()!r}" if reserved else "given twice"
        raise UsageError(f"A result is {what} and cannot be told apart in the table.", "Rename it.")
    return dict(zip(found, results, strict=True))
