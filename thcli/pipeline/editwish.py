"""What is asked of an edit, and who does it: attributes, a text or a kept edit become the ways that change every face of a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from thcli.core.backends import backend, chosen
from thcli.core.errors import UsageError, WeightsError
from thcli.core.events import Listener
from thcli.core.options import EditOptions, EditRegion, RunOptions, TextOptions
from thcli.core.protocols import Painter
from thcli.editors.catalogue import BY_NAME, find, meant, planned, stage_of, understood
from thcli.editors.clip.meaning import meaning, person
from thcli.editors.clip.words import numbers_of
from thcli.editors.editfile import EditFile, load
from thcli.pipeline.editways import Edited, Painted, View, Way

FLIP = "gender"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked. attributes: name -> strength, --strength counted in.  engines: backend -> attribute -> its share of the strength.

    step: in the identities of an editor, learnt before, or None where `text` is still to be learnt; scale: how far it is gone.
    """

    attributes: Mapping[str, float] = field(default_factory=dict)
    engines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    text: str = ""
    neutral: str = ""
    kept: EditFile | None = None
    scale: float = 1.0


def wish_of(options: EditOptions) -> Wish:
    """Reads --attr, --text, --edit and --engine. Raises UsageError, WeightsError, MediaError for a bad edit file."""
    given = {"--attr": options.attr, "--text": options.text, "--edit": options.edit}
    named = [name for name, value in given.items() if value]
    if len(named) != 1:
        said = f"{' and '.join(named)} exclude each other." if named else "Nothing is asked for."
        raise UsageError(said, "Give --attr NAME, --text WORDS or --edit FILE ('thcli list attributes' names what there is).")  # fmt: skip
    if options.edit is not None:
        kept = load(options.edit)
        if kept.step is not None:
            return Wish({}, {kept.editor: {}}, kept.target, kept.source, kept, kept.scale * options.strength)
        return _of_attributes(kept.attributes, kept.engine if options.engine == "auto" else options.engine, options)
    if options.text:
        spoken = _spoken(options)
        if spoken is not None:
            return _of_attributes(spoken, "auto", options)
        return Wish(
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
    return understood(f"{one[0]}={one[1]}" for one in found if one is not None) if None not in found else {}


def touched(text: str, neutral: str) -> EditRegion:
    """What of a picture a text is about: as its attributes say, "all" where it is more than these."""
    regions = {BY_NAME[name].touches for name in _meant(text, neutral)}
    return regions.pop() if len(regions) == 1 else "all"


def _of_attributes(asked: Mapping[str, float], engine: str, options: EditOptions) -> Wish:
    strengths = {find(name).name: strength * options.strength for name, strength in asked.items()}
    return Wish(strengths, planned(strengths, engine, options.run.licence))


def _text_editor(options: EditOptions) -> str:
    name = chosen("editor", options.engine, options.run)
    if not name:
        raise WeightsError("Edits by words rest on weights that are for research only.", "Use --licence any if their terms fit your use, or --attr.")  # fmt: skip
    if stage_of(name) != "editor":
        raise UsageError(f"{name} cannot edit by words.", "Take --engine auto, or --attr.")
    return name


def ways_of(wish: Wish, options: EditOptions, on: Listener) -> list[Way]:
    """Loads who does it, in the order in which they work. Raises WeightsError, DeviceError, UsageError for what an engine cannot do."""
    if wish.text:
        from thcli.pipeline.editidentity import by_words  # brings torch

        return [by_words(name, wish, options, on) for name in wish.engines]
    ways: list[Way] = []
    for name, strengths in wish.engines.items():
        rows = [BY_NAME[attribute] for attribute in strengths]
        touched = {row.touches for row in rows}
        touches: EditRegion = touched.pop() if len(touched) == 1 else "all"
        if stage_of(name) == "editor":
            from thcli.pipeline.editidentity import by_attributes  # brings torch

            ways.append(by_attributes(name, strengths, touches, options))
        else:
            painter: Painter = backend("painter", name).load(options.run)
            _known(name, painter, flipped(strengths, man=True))
            wide = any(row.touches == "hair" for row in rows)
            ways.append(Painted(name, painter, Strengths(name, painter, strengths, options.run), touches, wide))
    return ways


def file_of(wish: Wish, ways: Sequence[Way], options: EditOptions) -> EditFile:
    """What --save-edit keeps, once the passes have been settled."""
    learnt = [way.change.file for way in ways if isinstance(way, Edited)]
    return next((file for file in learnt if file is not None), EditFile(wish.attributes, options.engine))


@dataclass(frozen=True, slots=True)
class Strengths:
    """A painter's strengths for a face, in its own names. strengths: by the catalogue's."""

    engine: str
    painter: Painter
    strengths: Mapping[str, float]
    run: RunOptions

    def __call__(self, view: View) -> Mapping[str, float]:
        if FLIP not in self.strengths:
            return _known(self.engine, self.painter, self.strengths)
        from thcli.pipeline.editidentity import is_man  # brings torch

        return _known(self.engine, self.painter, flipped(self.strengths, is_man(view, self.run)))


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


def _known(engine: str, painter: Painter, strengths: Mapping[str, float]) -> dict[str, float]:
    """Strengths in the painter's own names. Raises UsageError for what it cannot do."""
    out: dict[str, float] = {}
    for name, strength in strengths.items():
        opposite = BY_NAME[name].opposite
        if name in painter.attributes:
            out[name] = out.get(name, 0.0) + strength
        elif opposite in painter.attributes:
            out[opposite] = out.get(opposite, 0.0) - strength
        else:
            raise UsageError(f"{engine} cannot do {name}.", f"It does: {', '.join(painter.attributes)}. '--engine auto' takes what can.")  # fmt: skip
    return out
