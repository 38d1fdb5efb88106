"""What is asked of an edit, and who does it: attributes, a text or a kept edit become the ways that change every face of a clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from thcli.core.backends import backend
from thcli.core.errors import UsageError
from thcli.core.options import EditOptions, EditRegion, RunOptions
from thcli.core.protocols import Editor, Painter
from thcli.core.types import Array32
from thcli.editors.catalogue import BY_NAME, planned, stage_of, understood
from thcli.editors.dva import attributes
from thcli.faces.identity.encoder import encoder
from thcli.pipeline.editways import Edited, Painted, View, Way

FLIP = "gender"
LABEL = "Male"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked. attributes: name -> strength, --strength counted in.  engines: backend -> attribute -> its share of the strength."""

    attributes: Mapping[str, float] = field(default_factory=dict)
    engines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def wish_of(options: EditOptions) -> Wish:
    """Reads --attr and --engine. Raises UsageError, WeightsError."""
    given = {"--attr": options.attr, "--text": options.text, "--edit": options.edit}
    named = [name for name, value in given.items() if value]
    if len(named) != 1:
        said = f"{' and '.join(named)} exclude each other." if named else "Nothing is asked for."
        raise UsageError(said, "Give --attr NAME, --text WORDS or --edit FILE ('thcli list attributes' names what there is).")  # fmt: skip
    asked = {name: strength * options.strength for name, strength in understood(options.attr or ()).items()}
    return Wish(asked, planned(asked, options.engine, options.run.licence))


def ways_of(wish: Wish, options: EditOptions) -> list[Way]:
    """Loads who does it, in the order in which they work. Raises WeightsError, DeviceError, UsageError for what an engine cannot do."""
    ways: list[Way] = []
    for name, strengths in wish.engines.items():
        rows = [BY_NAME[attribute] for attribute in strengths]
        touched = {row.touches for row in rows}
        touches: EditRegion = touched.pop() if len(touched) == 1 else "all"
        if stage_of(name) == "editor":
            editor: Editor = backend("editor", name).load(options.run, options.editor)
            ways.append(Edited(name, editor, Turned(attributes.load_of(name, options.run), strengths), touches))
        else:
            painter: Painter = backend("painter", name).load(options.run)
            _known(name, painter, flipped(strengths, 1.0))
            wide = any(row.touches == "hair" for row in rows)
            ways.append(Painted(name, painter, Strengths(name, painter, strengths, options.run), touches, wide))
    return ways


@dataclass(frozen=True, slots=True)
class Turned:
    """Identities moved along attributes. strengths: by the catalogue's names."""

    directions: attributes.Directions
    strengths: Mapping[str, float]

    def __call__(self, identity: Array32, view: View, own: Array32) -> Array32:
        score = float(self.directions.scores(identity[None])[0, self.directions.number(LABEL)])
        return self.directions.changed(identity, labels(flipped(self.strengths, score)))


@dataclass(frozen=True, slots=True)
class Strengths:
    """A painter's strengths for a face, in its own names. strengths: by the catalogue's names."""

    engine: str
    painter: Painter
    strengths: Mapping[str, float]
    run: RunOptions

    def __call__(self, view: View) -> Mapping[str, float]:
        return _known(self.engine, self.painter, flipped(self.strengths, self._score(view)))

    def _score(self, view: View) -> float:
        """How much the face is a man's, above 0, where that counts."""
        if FLIP not in self.strengths:
            return 0.0
        who = encoder("auto", self.run)
        if who is None:
            raise UsageError("Which gender a face has is told by weights that are for research only.", "Ask for --attr male or --attr female.")  # fmt: skip
        directions = attributes.load_of("dva-s", self.run)
        identity = who.identify(view.crop, view.face).vector
        return float(directions.scores(identity[None])[0, directions.number(LABEL)])


def flipped(strengths: Mapping[str, float], score: float) -> dict[str, float]:
    """With gender as what the face is not: female where its score says a man's (above 0), else male."""
    other = "female" if score > 0 else "male"
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
