"""`thcli eval` of what the stages rest on: parsers, identities, attributes, words, voices."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from thcli.cli.console import Console
from thcli.cli.evaluate import refuse_existing, save
from thcli.cli.flags import flags
from thcli.core.errors import UsageError
from thcli.core.options import (
    FaceOptions,
    RunOptions,
    ShowOptions,
    VoiceEvaluateOptions,
    VoiceOptions,
)

Labelled = Annotated[
    Path,
    typer.Argument(
        help="A folder with images/, attributes.txt and identities.txt, as CelebA has them."
    ),
]
Persons = Annotated[
    str,
    typer.Option(
        "--persons",
        help="Persons whose number ends in one of these digits: none that was learnt from.",
    ),
]


@flags
def parse(
    dataset: Annotated[
        Path,
        typer.Argument(
            help="The folder that `thcli train parse` learnt from; its kept-out pairs count."
        ),
    ],
    parser: Annotated[
        str, typer.Option("--parser", help="Which parser (thcli list parser), or auto.")
    ] = "auto",
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", help="parse-s with weights of one's own, from `thcli train parse`."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
    *,
    faces: FaceOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure a face parser: intersection over union of each region on the pairs that training never saw."""
    from thcli.evaluate.benchmarks.parse import evaluate, parser_of
    from thcli.evaluate.datasets.parse_pairs import test_shelf
    from thcli.pipeline.sources.source_image import FaceFinder

    refuse_existing(overwrite, output)
    with Console(show) as console:
        name, chosen = parser_of(parser, weights, run)
        found = evaluate(chosen, test_shelf(dataset), FaceFinder.load(faces, run).find, console)
        report = {
            "command": "eval parse",
            "run": shlex.join(["thcli", *sys.argv[1:]]),
            "parser": name,
            **found.report(),
        }
        save(output, report)
    console.table(*found.table(), report, headed=True)


@flags
def identity(
    dataset: Annotated[
        Path,
        typer.Argument(
            help="A folder with a folder of aligned faces for each person, none of them learnt from."
        ),
    ],
    names: Annotated[
        list[str] | None,
        typer.Option("--identity", help="Which backend (thcli list backends); may be repeated."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            help="Also identity-s with weights of one's own, from `thcli train identity`.",
        ),
    ] = None,
    onnx: Annotated[
        list[Path] | None,
        typer.Option("--onnx", help="Also a network from an ONNX file; may be repeated."),
    ] = None,
    onnx_input: Annotated[
        str,
        typer.Option(
            "--onnx-input",
            help="Its pixels: imagenet, less ImageNet's mean; or arcface, within -1..1.",
        ),
    ] = "imagenet",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
    *,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure identity backends: do two pictures show one person? Over all pairs of a set of aligned faces."""
    from thcli.evaluate.benchmarks.identity import encoders, verify

    refuse_existing(overwrite, output)
    with Console(show) as console:
        found = verify(
            dataset, encoders(names or [], weights, onnx or [], onnx_input, run), console
        )
        report = {
            "command": "eval identity",
            "run": shlex.join(["thcli", *sys.argv[1:]]),
            **found.report(),
        }
        save(output, report)
    console.table(*found.table(), report, headed=True)


@flags
def attributes(
    dataset: Labelled,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            help="A judge of one's own, from `thcli train judge` (default: the shipped one).",
        ),
    ] = None,
    persons: Persons = "9",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
    *,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure the classifier that measures edits: how often it is right about each of 40 attributes."""
    from thcli.evaluate.datasets.labelled_images import digits_of, labelled
    from thcli.evaluate.metrics.attribute_scores import judge, measured, own_judge

    _report(
        "eval attributes",
        output,
        overwrite,
        show,
        lambda: measured(
            own_judge(weights, run) if weights else judge(run),
            labelled(dataset).only(digits_of(persons)),
        ).report(),
    )


@flags
def words(
    dataset: Labelled,
    model: Annotated[
        str,
        typer.Option(
            "--text-model", help="Which model (thcli list backends): clip-s, clip-b32, clip-b16."
        ),
    ] = "auto",
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", help="clip-s with weights of one's own, from `thcli train clip`."
        ),
    ] = None,
    persons: Persons = "9",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
    *,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure a model of texts and pictures: 40 attributes by a pair of texts each, and what texts find."""
    from thcli.evaluate.benchmarks.text_image import knowledge, text_model
    from thcli.evaluate.datasets.labelled_images import digits_of, labelled

    _report(
        "eval words",
        output,
        overwrite,
        show,
        lambda: knowledge(
            text_model(model, weights, run), labelled(dataset).only(digits_of(persons))
        ).report(),
    )


@flags
def a2m(
    dataset: Annotated[
        Path,
        typer.Argument(
            help="A folder of talking clips with sound; index.csv (file, speaker) says who speaks."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the report here, as JSON.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
    *,
    evaluate: VoiceEvaluateOptions,
    voice: VoiceOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure how a voice moves the mouths of the people in a folder of clips, beside a mouth that follows the loudness and one that never moves."""
    from dataclasses import replace

    from thcli.evaluate.benchmarks import speech
    from thcli.evaluate.datasets import talking_clips
    from thcli.voices.backends import VOICES

    refuse_existing(overwrite, output)
    name = VOICES.resolve(evaluate.voice, run)
    found = [
        (path, who)
        for path, who in talking_clips.find(dataset)
        if not evaluate.chosen or who in evaluate.chosen
    ]
    if not found:
        raise UsageError(f"None of the speakers is in {dataset}.", "Check --speakers.")
    options = replace(voice, temperature=voice.temperature or 0.0, pose="still", blink="none")
    with Console(show) as console:
        motions = Path(evaluate.motions) if evaluate.motions else None
        clips = speech.evaluate_voice(
            VOICES.backend(name).load(run), name, found, motions, options, console
        )
        report = {**speech.report(clips, name), "run": shlex.join(["thcli", *sys.argv[1:]])}
        save(output, report)
        console.say(report["run"])
    console.table(*speech.table(report), report, headed=True)


def _report(
    command: str,
    output: Path | None,
    overwrite: bool,
    show: ShowOptions,
    measure: Callable[[], dict[str, Any]],
) -> None:
    """Measures, writes the report where that is asked for, and shows its numbers, a table of the attributes last."""

    refuse_existing(overwrite, output)
    with Console(show) as console:
        report = {"command": command, "run": shlex.join(["thcli", *sys.argv[1:]]), **measure()}
        save(output, report)
    each = {
        name: value if isinstance(value, dict) else {"auc": value}
        for name, value in report["attributes"].items()
    }
    columns = list(next(iter(each.values())))
    means = ["mean", *(f"{report[column]:.3f}" if column in report else "" for column in columns)]
    rows = [
        [name, *(f"{values[column]:.3f}" for column in columns)] for name, values in each.items()
    ]
    console.table(["attribute", *columns], [*rows, means], report, headed=True)
