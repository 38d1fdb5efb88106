"""Edit requests: attributes, text or an edit file, and the backends that apply them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from thcli.core.errors import UsageError, WeightsError
from thcli.core.options import (
    EditOptions,
    EditorOptions,
    EditRegion,
    TextOptions,
    changed_options,
)
from thcli.editors.backends import EDITORS, PAINTERS
from thcli.editors.catalogue import (
    attribute_of,
    find_attribute,
    parse_attributes,
    parse_variants,
    plan_backends,
    resolve_label,
    stage_of,
)
from thcli.editors.clip.text_parser import neutral_text, parse_text
from thcli.editors.clip.vocabulary import OPENAI_HINT
from thcli.editors.edit_file import EditFile, load
from thcli.editors.shared.keys import split_colour
from thcli.pipeline.editing.text.words import Description, describe, nearest_words, possible_words
from thcli.weights.backend import refuse_unread_options

GENDER = "gender"  # attribute whose direction depends on the face


@dataclass(frozen=True, slots=True)
class EditRequest:
    """A requested edit.

    attributes: name -> strength, with --strength applied.
    engines: backend -> attribute -> its share of the strength.
    engine: the engine that was asked for, "auto" for the best one of each attribute.
    text, neutral: an edit by text, and the text that describes the unedited face.
    edit_file: a learnt step; None when the step of `text` is still to be learnt.
    scale: factor of the step.
    """

    attributes: Mapping[str, float] = field(default_factory=dict)
    engines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    engine: str = "auto"
    text: str = ""
    neutral: str = ""
    edit_file: EditFile | None = None
    scale: float = 1.0


def parse_requests(options: EditOptions) -> list[EditRequest]:
    """Parse --attr, --text, --edit and --engine: one request, or one for each of several strengths.

    A recombination needs none of them.

    Raises:
        UsageError: none or several of them, an unknown attribute, word or backend, what no engine
            can do, or an option that has no effect on the request.
        WeightsError: weights are not installed, or their licence is excluded.
        MediaError: the edit file cannot be read.
    """
    values = {"--attr": options.attr, "--text": options.text, "--edit": options.edit}
    given = [flag for flag, value in values.items() if value]
    if len(given) > 1 or not (given or options.recombine.files):
        problem = f"{' and '.join(given)} exclude each other." if given else "No edit is given."
        raise UsageError(
            problem,
            "Give --attr NAME, --text WORDS or --edit FILE ('thcli list attributes' lists names).",
        )
    _refuse_of_recombination(options, edited=bool(given))
    if not options.text:
        _refuse_text_options(options)
    requests = _parse_given(options)
    for request in requests:
        refuse_unread_options(options, request.engines, EDITORS, PAINTERS)
        if list(request.engines) != list(requests[0].engines):
            raise UsageError(
                "--attr: these strengths need different engines "
                f"({', '.join(requests[0].engines)}; {', '.join(request.engines)}).",
                "Give strengths of one sign.",
            )
    return requests


def parse_request(options: EditOptions) -> EditRequest:
    """Parse a request of one result. Raises as `parse_requests`, and UsageError for several."""
    requests = parse_requests(options)
    if len(requests) > 1:
        raise UsageError("Several strengths of an attribute cannot be evaluated.", "Give one.")
    return requests[0]


def _parse_given(options: EditOptions) -> list[EditRequest]:
    if options.edit is not None:
        return [_request_of_file(load(options.edit), options)]
    if options.text:
        attributes = _text_as_attributes(options)
        if attributes is not None:
            return [_request_of_attributes(attributes, "auto", options)]
        return [
            EditRequest(
                engines={_text_editor(options): {}},
                text=options.text,
                neutral=options.neutral or neutral_text(options.text),
                scale=options.strength,
            )
        ]
    if not options.attr:
        return [EditRequest(engines={_recombining_editor(options): {}}, engine=options.engine)]
    return [
        _request_of_attributes(attributes, options.engine, options)
        for attributes in parse_variants(options.attr)
    ]


def _refuse_of_recombination(options: EditOptions, *, edited: bool) -> None:
    """Refuse options that a recombination cannot follow. edited: there is an edit beside it."""
    if not options.recombine.files:
        return
    if options.save_edit is not None:
        raise UsageError(
            "--save-edit stores no parts of other files.", "Leave it out, or the recombination."
        )
    if options.strength != 1 and not edited:
        raise UsageError("--strength has no effect without --attr, --text or --edit.")


def _refuse_text_options(options: EditOptions) -> None:
    for name, flag in changed_options(options):
        if name in ("neutral", "text_model") or name.startswith("words."):
            raise UsageError(f"{flag} has no effect without --text.")


def _request_of_file(edit_file: EditFile, options: EditOptions) -> EditRequest:
    if edit_file.step is None:
        engine = edit_file.engine if options.engine == "auto" else options.engine
        return _request_of_attributes(edit_file.attributes, engine, options)
    if options.engine not in ("auto", edit_file.editor):
        raise UsageError(
            f"{options.edit} is an edit of {edit_file.editor}, not of {options.engine}.",
            "Leave --engine away.",
        )
    return EditRequest(
        engines={edit_file.editor: {}},
        text=edit_file.target,
        neutral=edit_file.source,
        edit_file=edit_file,
        scale=edit_file.scale * options.strength,
    )


def _text_as_attributes(options: EditOptions) -> dict[str, float] | None:
    """Return the attributes that a text describes.

    None when the text is learnt: a backend, a text model, or an option of learning is given.

    Raises:
        UsageError: for an unknown word, and for what no painter can do; both name what can be done.
    """
    if options.engine != "auto" or options.text_model != "auto":
        return None
    if options.words != TextOptions() or options.editor != EditorOptions():
        return None
    said = describe(options.text or "")
    refuse_description(said)
    before = describe(options.neutral)
    attributes = said.attributes or said.noun
    out = {
        name: strength
        for name, strength in attributes.items()
        if (before.attributes | before.noun).get(name, 0) * strength <= 0
    }
    if not out:
        raise UsageError(
            f"The text {options.text!r} names nothing that changes.",
            f"It can name {_examples()}.",
        )
    words = []
    for key, strength in out.items():
        name, colour = split_colour(key)
        words.append(f"{name}=#{colour}" if colour else f"{name}={strength}")
    degrees = {key: strength for key, strength in out.items() if split_colour(key)[1]}
    return parse_attributes(words) | degrees


def refuse_description(said: Description) -> None:
    """Raise UsageError for words that are unknown, unclear, impossible or contradictory."""
    if said.unknown:
        near = {word: nearest_words(word) for word in said.unknown}
        hints = [f"Near {word}: {', '.join(found)}." for word, found in near.items() if found]
        if len(said.unknown) > 1 and not (said.attributes or said.noun or said.impossible):
            hints.append("Texts are read in English.")
        plural = "s" if len(said.unknown) > 1 else ""
        raise UsageError(
            f"The word{plural} {', '.join(said.unknown)} of the text cannot be edited.",
            " ".join([*hints, f"It can name {_examples()}.", OPENAI_HINT]),
        )
    if said.unclear:
        raise UsageError(
            f"The negation before {', '.join(said.unclear)} is not understood.",
            f"Name what changes or goes, as in 'no glasses, a beard'. It can name {_examples()}.",
        )
    if said.impossible:
        raise UsageError(
            f"No engine can do this believably: {'; '.join(said.impossible)}.",
            f"It can name {_examples()}. --engine dva-s tries it as an experiment.",
        )
    if said.contradictory:
        raise UsageError(
            f"The text both adds and takes away: {', '.join(said.contradictory)}.",
            "Name each thing once; 'no' and 'without' go before each thing that is to go.",
        )


def _examples() -> str:
    """Return the attributes that a text can name, and the form of colours and degrees."""
    names = ", ".join(name.replace("_", " ") for name in possible_words())
    return f"{names}; colours (red hair), degrees (slightly, very), 'without glasses'"


def _attributes_in_text(text: str, neutral: str) -> dict[str, float]:
    """Return the attributes of a text beyond a neutral one; none if a part is not an attribute."""
    labels = parse_text(text, neutral) or {}
    resolved = [resolve_label(label, affirmed) for label, affirmed in labels.items()]
    if None in resolved:
        return {}
    return parse_attributes(f"{item[0]}={item[1]}" for item in resolved if item is not None)


def text_region(text: str, neutral: str) -> EditRegion:
    """Return the region that a text affects: that of its attributes, "all" for other texts."""
    names = _attributes_in_text(text, neutral)
    regions = {attribute_of(name).affected_region for name in names}
    return regions.pop() if len(regions) == 1 else "all"


def _request_of_attributes(
    attributes: Mapping[str, float], engine: str, options: EditOptions
) -> EditRequest:
    strengths = {
        find_attribute(name).name: strength * options.strength
        for name, strength in attributes.items()
    }
    return EditRequest(strengths, plan_backends(strengths, engine, options.run.licence), engine)


def _recombining_editor(options: EditOptions) -> str:
    return _allowed_editor(
        options, "Recombinations", "Use --licence any if their terms fit your use."
    )


def _text_editor(options: EditOptions) -> str:
    name = _allowed_editor(
        options, "Edits by text", "Use --licence any if their terms fit your use, or --attr."
    )
    if stage_of(name) != "editor":
        raise UsageError(f"{name} cannot edit by text.", "Use --engine auto, or --attr.")
    return name


def _allowed_editor(options: EditOptions, edits: str, hint: str) -> str:
    """Return the editor that the licence allows. Raises WeightsError when there is none."""
    name = EDITORS.resolve(options.engine, options.run)
    if not name:
        raise WeightsError(f"{edits} need weights that are for research only.", hint)
    return name


def resolve_gender(strengths: Mapping[str, float], male: bool) -> dict[str, float]:
    """Replace gender by the other gender of a face."""
    target = "female" if male else "male"
    return {target if name == GENDER else name: value for name, value in strengths.items()}


def celeba_strengths(strengths: Mapping[str, float]) -> dict[str, float]:
    """Convert strengths of catalogue attributes to those of CelebA labels."""
    out: dict[str, float] = {}
    for name, strength in strengths.items():
        attribute = attribute_of(name)
        out[attribute.celeba] = out.get(attribute.celeba, 0.0) + attribute.sign * strength
    return out
