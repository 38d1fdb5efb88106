"""What is asked of an edit, and who does it: attributes, a text or a kept edit become the ways that change every face of a clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from thcli.core.errors import UsageError, WeightsError
from thcli.core.options import EditOptions, EditRegion, TextOptions
from thcli.editors.backends import EDITORS
from thcli.editors.catalogue import BY_NAME, find, meant, planned, stage_of, understood
from thcli.editors.clip.text_parser import meaning, person
from thcli.editors.clip.vocabulary import numbers_of
from thcli.editors.edit_file import EditFile, load

FLIP = "gender"


@dataclass(frozen=True, slots=True)
class EditRequest:
    """What is asked. attributes: name -> strength, --strength counted in.  engines: backend -> attribute -> its share of the strength.

    step: in the identities of an editor, learnt before, or None where `text` is still to be learnt; scale: how far it is gone.
    """

    attributes: Mapping[str, float] = field(default_factory=dict)
    engines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    text: str = ""
    neutral: str = ""
    kept: EditFile | None = None
    scale: float = 1.0


def parse_request(options: EditOptions) -> EditRequest:
    """Reads --attr, --text, --edit and --engine. Raises UsageError, WeightsError, MediaError for a bad edit file."""
    given = {"--attr": options.attr, "--text": options.text, "--edit": options.edit}
    named = [name for name, value in given.items() if value]
    if len(named) != 1:
        said = f"{' and '.join(named)} exclude each other." if named else "Nothing is asked for."
        raise UsageError(
            said,
            "Give --attr NAME, --text WORDS or --edit FILE ('thcli list attributes' names what there is).",
        )
    if options.edit is not None:
        kept = load(options.edit)
        if kept.step is not None:
            return EditRequest(
                {}, {kept.editor: {}}, kept.target, kept.source, kept, kept.scale * options.strength
            )
        return _of_attributes(
            kept.attributes, kept.engine if options.engine == "auto" else options.engine, options
        )
    if options.text:
        spoken = _spoken(options)
        if spoken is not None:
            return _of_attributes(spoken, "auto", options)
        return EditRequest(
            {},
            {_text_editor(options): {}},
            options.text,
            options.neutral or person(options.text),
            None,
            options.strength,
        )
    return _of_attributes(understood(options.attr or ()), options.engine, options)


def _spoken(options: EditOptions) -> dict[str, float] | None:
    """What a text says, as attributes; None where it is to be learnt: something in it is none that a painter does, or it is asked for."""
    if options.engine != "auto" or options.text_model != "auto" or options.words != TextOptions():
        return None
    numbers_of(
        [text for text in (options.text, options.neutral) if text]
    )  # words that are not known are told before any work
    asked = _meant(options.text or "", options.neutral)
    if not asked:
        return None
    try:
        engines = planned(asked, "auto", options.run.licence)
    except (UsageError, WeightsError):
        return None  # the text's own way says what it lacks
    return asked if all(stage_of(name) == "painter" for name in engines) else None


def _meant(text: str, neutral: str) -> dict[str, float]:
    """The attributes that a text says beyond a neutral one; none where a part of it is no attribute."""
    found = [meant(label, affirmed) for label, affirmed in (meaning(text, neutral) or {}).items()]
    return (
        understood(f"{one[0]}={one[1]}" for one in found if one is not None)
        if None not in found
        else {}
    )


def touched(text: str, neutral: str) -> EditRegion:
    """What of a picture a text is about: as its attributes say, "all" where it is more than these."""
    regions = {BY_NAME[name].touches for name in _meant(text, neutral)}
    return regions.pop() if len(regions) == 1 else "all"


def _of_attributes(asked: Mapping[str, float], engine: str, options: EditOptions) -> EditRequest:
    strengths = {find(name).name: strength * options.strength for name, strength in asked.items()}
    return EditRequest(strengths, planned(strengths, engine, options.run.licence))


def _text_editor(options: EditOptions) -> str:
    name = EDITORS.resolve(options.engine, options.run)
    if not name:
        raise WeightsError(
            "Edits by words rest on weights that are for research only.",
            "Use --licence any if their terms fit your use, or --attr.",
        )
    if stage_of(name) != "editor":
        raise UsageError(f"{name} cannot edit by words.", "Take --engine auto, or --attr.")
    return name


def flipped(strengths: Mapping[str, float], man: bool) -> dict[str, float]:
    """With gender as what the face is not."""
    other = "female" if man else "male"
    return {other if name == FLIP else name: strength for name, strength in strengths.items()}


def labels(strengths: Mapping[str, float]) -> dict[str, float]:
    """Strengths by the catalogue's names as strengths by CelebA's labels."""
    out: dict[str, float] = {}
    for name, strength in strengths.items():
        row = BY_NAME[name]
        out[row.celeba] = out.get(row.celeba, 0.0) + row.sign * strength
    return out
