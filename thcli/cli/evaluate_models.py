"""`thcli eval` of models: parsers, identities, attributes, texts, voices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.cli.report_options import ReportOptions, command_line
from thcli.core.options import (
    FaceOptions,
    RunOptions,
    ShowOptions,
    SpeakOptions,
    VoiceEvaluateOptions,
    VoiceOptions,
    option,
)

if TYPE_CHECKING:
    from thcli.core.protocols import Voice

LabelledFolder = Annotated[
    Path,
    typer.Argument(help="Folder with images/, attributes.txt and identities.txt, as CelebA's."),
]
TalkingFolder = Annotated[
    Path,
    typer.Argument(
        help="Folder of talking clips with sound; index.csv (file, speaker) names speakers."
    ),
]
Persons = Annotated[
    str,
    typer.Option(
        "--persons",
        help="Last digits of the persons' numbers to use, such as 9; training used others.",
    ),
]


@flags
def parse(
    dataset: Annotated[
        Path,
        typer.Argument(help="Folder of `thcli train parse`; its test pairs are used."),
    ],
    parser: Annotated[
        str, typer.Option("--parser", help="Parser (thcli list parser), or auto.")
    ] = "auto",
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="parse-s with these weights of `thcli train parse`."),
    ] = None,
    *,
    report: ReportOptions,
    faces: FaceOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure a face parser: intersection over union on pairs that training never saw."""
    from thcli.evaluate.benchmarks.parse import evaluate_parser, load_parser
    from thcli.evaluate.datasets.parse_pairs import load_test_pairs
    from thcli.pipeline.observe.face_finder import FaceFinder

    report.refuse_existing([dataset, weights])
    with Console(show) as console:
        name, loaded = load_parser(parser, weights, run)
        find = FaceFinder.load(faces, run).find
        found = evaluate_parser(loaded, load_test_pairs(dataset), find, console)
        content = {
            "command": "eval parse",
            "run": command_line(),
            "parser": name,
            **found.report(),
        }
        report.save(content, [found.table()])
    console.table(*found.table(), content, headed=True)


@dataclass(frozen=True, slots=True)
class IdentityBackends:
    """Options of `thcli eval identity`."""

    names: list[str] | None = option(
        None, "Backend (thcli list backends). Repeatable.", "--identity"
    )
    weights: Path | None = option(
        None, "Also identity-s with these weights of `thcli train identity`."
    )
    onnx: list[Path] | None = option(None, "Also a network from an ONNX file. Repeatable.")
    onnx_input: str = option(
        "imagenet", "Its input: imagenet, normalised by ImageNet's mean; or arcface, -1..1."
    )


@flags
def identity(
    dataset: Annotated[
        Path,
        typer.Argument(help="Folder with a folder of aligned faces for each unseen person."),
    ],
    *,
    report: ReportOptions,
    backends: IdentityBackends,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure identity backends: verification over all pairs of a set of aligned faces."""
    from thcli.evaluate.benchmarks.identity import encoders, verify

    report.refuse_existing([dataset, backends.weights, *(backends.onnx or [])])
    with Console(show) as console:
        loaded = encoders(
            backends.names or [], backends.weights, backends.onnx or [], backends.onnx_input, run
        )
        found = verify(dataset, loaded, console)
        content = {"command": "eval identity", "run": command_line(), **found.report()}
        report.save(content, [found.table()])
    console.table(*found.table(), content, headed=True)


@flags
def attributes(
    dataset: LabelledFolder,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            help="Classifier of `thcli train judge` (default: the bundled one).",
        ),
    ] = None,
    persons: Persons = "9",
    *,
    report: ReportOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure the classifier that measures edits: accuracy and AUC of each of 40 attributes."""
    from thcli.evaluate.datasets.labelled_images import parse_digits, read_labelled_folder
    from thcli.evaluate.metrics.attribute_scores import (
        evaluate_classifier,
        load_classifier,
        load_classifier_file,
    )

    def measure() -> dict[str, Any]:
        classifier = load_classifier_file(weights, run) if weights else load_classifier(run)
        faces = read_labelled_folder(dataset).of_persons(parse_digits(persons))
        return evaluate_classifier(classifier, faces).report()

    _report_attributes("eval attributes", report, [dataset, weights], show, measure)


@flags
def words(
    dataset: LabelledFolder,
    model: Annotated[
        str,
        typer.Option(
            "--text-model", help="Model (thcli list backends): clip-s, clip-b32, clip-b16."
        ),
    ] = "auto",
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="clip-s with these weights of `thcli train clip`."),
    ] = None,
    persons: Persons = "9",
    *,
    report: ReportOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure a text model: 40 attributes by a pair of texts each, and retrieval by texts."""
    from thcli.evaluate.benchmarks.text_image import evaluate_text_model, load_text_model
    from thcli.evaluate.datasets.labelled_images import parse_digits, read_labelled_folder

    def measure() -> dict[str, Any]:
        loaded = load_text_model(model, weights, run)
        faces = read_labelled_folder(dataset).of_persons(parse_digits(persons))
        return evaluate_text_model(loaded, faces).report()

    _report_attributes("eval words", report, [dataset, weights], show, measure)


@flags
def removers(
    dataset: LabelledFolder,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            help="Weights of `thcli train removers` (default: the bundled ones).",
        ),
    ] = None,
    persons: Persons = "9",
    pictures: Annotated[
        int, typer.Option("--pictures", min=1, help="Most bare faces to paint.")
    ] = 100,
    *,
    report: ReportOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure what removers gain (PSNR) on bare faces with painted glasses, beards or make-up."""
    from thcli.evaluate.datasets.labelled_images import parse_digits, read_labelled_folder
    from thcli.train.removers import gains

    report.refuse_existing([dataset, weights])
    with Console(show) as console:
        images = read_labelled_folder(dataset).of_persons(parse_digits(persons))
        found = gains.evaluate_removers(images, weights, pictures, run, console)
        content = {"command": "eval removers", "run": command_line(), **gains.report(found)}
        report.save(content, [gains.table(found)])
    console.table(*gains.table(found), content, headed=True)


@flags
def a2m(
    dataset: TalkingFolder,
    *,
    report: ReportOptions,
    evaluate: VoiceEvaluateOptions,
    voice: VoiceOptions,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Measure the mouth movements of a voice against those of the speakers, beside baselines."""
    from thcli.evaluate.benchmarks.voices import speech
    from thcli.evaluate.datasets import talking_clips

    report.refuse_existing([dataset], evaluate, voice)
    options = replace(voice, temperature=voice.temperature or 0.0, pose="still", blink="none")
    with Console(show) as console:
        name, loaded = load_voice(evaluate, voice, run)
        found = talking_clips.clips_of_speakers(dataset, evaluate.chosen)
        clips = speech.evaluate_voice(loaded, name, found, evaluate.folder, options, console)
        content = {**speech.report(clips, name), "run": command_line()}
        report.save(content, [speech.table(content)])
    console.table(*speech.table(content), content, headed=True)


def _report_attributes(
    command: str,
    report: ReportOptions,
    inputs: Sequence[Path | None],
    show: ShowOptions,
    measure: Callable[[], dict[str, Any]],
) -> None:
    """Measure, save the report, and print a table of the attributes with their means last."""
    report.refuse_existing(inputs)
    with Console(show) as console:
        content = {"command": command, "run": command_line(), **measure()}
        each = {
            name: value if isinstance(value, dict) else {"auc": value}
            for name, value in content["attributes"].items()
        }
        columns = list(next(iter(each.values())))
        means = [f"{content[column]:.3f}" if column in content else "" for column in columns]
        rows = [
            [name, *(f"{values[column]:.3f}" for column in columns)]
            for name, values in each.items()
        ]
        table = ["attribute", *columns], [*rows, ["mean", *means]]
        report.save(content, [table])
    console.table(*table, content, headed=True)


def load_voice(
    evaluate: VoiceEvaluateOptions, voice: VoiceOptions, run: RunOptions
) -> tuple[str, Voice]:
    """Load the voice with its name. Raises UsageError for an option that it does not read."""
    from thcli.voices.backends import VOICES
    from thcli.weights.backend import refuse_unread_options

    name = VOICES.resolve(evaluate.voice, run)
    refuse_unread_options(SpeakOptions(speech=voice), [name], VOICES)
    return name, VOICES.backend(name).load(run)
