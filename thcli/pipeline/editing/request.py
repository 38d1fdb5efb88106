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
    BY_NAME,
    find_attribute,
    parse_attributes,
    plan_backends,
    resolve_label,
    stage_of,
)
from thcli.editors.clip.text_parser import neutral_text, parse_text
from thcli.editors.clip.vocabulary import tokenize
from thcli.editors.edit_file import EditFile, load
from thcli.weights.backend import refuse_unread_options

GENDER = "gender"  # attribute whose direction depends on the face


@dataclass(frozen=True, slots=True)
class EditRequest:
    """A requested edit.

    attributes: name -> strength, with --strength applied.
    engines: backend -> attribute -> its share of the strength.
    text, neutral: an edit by text, and the text that describes the unedited face.
    edit_file: a learnt step; None when the step of `text` is still to be learnt.
    scale: factor of the step.
    """

    attributes: Mapping[str, float] = field(default_factory=dict)
    engines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    text: str = ""
    neutral: str = ""
    edit_file: EditFile | None = None
    scale: float = 1.0


def parse_request(options: EditOptions) -> EditRequest:
    """Parse --attr, --text, --edit and --engine.

    Raises:
        UsageError: none or several of them, an unknown attribute, word or backend, or an option
            that has no effect on the request.
        WeightsError: weights are not installed, or their licence is excluded.
        MediaError: the edit file cannot be read.
    """
    values = {"--attr": options.attr, "--text": options.text, "--edit": options.edit}
    given = [flag for flag, value in values.items() if value]
    if len(given) != 1:
        problem = f"{' and '.join(given)} exclude each other." if given else "No edit is given."
        raise UsageError(
            problem,
            "Give --attr NAME, --text WORDS or --edit FILE ('thcli list attributes' lists names).",
        )
    if not options.text:
        _refuse_text_options(options)
    request = _parse_given(options)
    refuse_unread_options(options, request.engines, EDITORS, PAINTERS)
    return request


def _parse_given(options: EditOptions) -> EditRequest:
    if options.edit is not None:
        return _request_of_file(load(options.edit), options)
    if options.text:
        attributes = _text_as_attributes(options)
        if attributes is not None:
            return _request_of_attributes(attributes, "auto", options)
        return EditRequest(
            engines={_text_editor(options): {}},
            text=options.text,
            neutral=options.neutral or neutral_text(options.text),
            scale=options.strength,
        )
    return _request_of_attributes(parse_attributes(options.attr or ()), options.engine, options)


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
    """Return the attributes that a text names.

    None when the text must be learnt: a backend, an option of the diffusion editors or a text
    option is given, or a painter does not support a part of it.
    """
    if options.engine != "auto" or options.text_model != "auto":
        return None
    if options.words != TextOptions() or options.editor != EditorOptions():
        return None
    texts = [text for text in (options.text, options.neutral) if text]
    tokenize(texts)  # reports unknown words before any work
    attributes = _attributes_in_text(options.text or "", options.neutral)
    if not attributes:
        return None
    try:
        backends = plan_backends(attributes, "auto", options.run.licence)
    except (UsageError, WeightsError):
        return None  # the text editor reports the error
    return attributes if all(stage_of(name) == "painter" for name in backends) else None


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
    regions = {BY_NAME[name].affected_region for name in names}
    return regions.pop() if len(regions) == 1 else "all"


def _request_of_attributes(
    attributes: Mapping[str, float], engine: str, options: EditOptions
) -> EditRequest:
    strengths = {
        find_attribute(name).name: strength * options.strength
        for name, strength in attributes.items()
    }
    return EditRequest(strengths, plan_backends(strengths, engine, options.run.licence))


def _text_editor(options: EditOptions) -> str:
    name = EDITORS.resolve(options.engine, options.run)
    if not name:
        raise WeightsError(
            "Edits by text need weights that are for research only.",
            "Use --licence any if their terms fit your use, or --attr.",
        )
    if stage_of(name) != "editor":
        raise UsageError(f"{name} cannot edit by text.", "Use --engine auto, or --attr.")
    return name


def resolve_gender(strengths: Mapping[str, float], male: bool) -> dict[str, float]:
    """Replace gender by the other gender of a face."""
    target = "female" if male else "male"
    return {target if name == GENDER else name: value for name, value in strengths.items()}


def celeba_strengths(strengths: Mapping[str, float]) -> dict[str, float]:
    """Convert strengths of catalogue attributes to those of CelebA labels."""
    out: dict[str, float] = {}
    for name, strength in strengths.items():
        attribute = BY_NAME[name]
        out[attribute.celeba] = out.get(attribute.celeba, 0.0) + attribute.sign * strength
    return out
