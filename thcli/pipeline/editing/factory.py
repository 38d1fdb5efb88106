"""Editors and painters of an edit request, loaded in the order in which they work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thcli.core.errors import UsageError
from thcli.core.events import Listener
from thcli.core.options import EditOptions, EditRegion, RunOptions
from thcli.core.protocols import Painter
from thcli.editors.backends import PAINTERS
from thcli.editors.catalogue import BY_NAME, stage_of
from thcli.editors.edit_file import EditFile
from thcli.pipeline.editing.identity_edits import by_attributes, by_words, is_man
from thcli.pipeline.editing.request import FLIP, EditRequest, flipped
from thcli.pipeline.editing.steps import Edited, EditStep, Painted, View


def plan_steps(request: EditRequest, options: EditOptions, on: Listener) -> list[EditStep]:
    """Loads who does it, in the order in which they work. Raises WeightsError, DeviceError, UsageError for what an engine cannot do."""
    if request.text:
        return [by_words(name, request, options, on) for name in request.engines]
    steps: list[EditStep] = []
    for name, strengths in request.engines.items():
        rows = [BY_NAME[attribute] for attribute in strengths]
        touched = {row.touches for row in rows}
        touches: EditRegion = touched.pop() if len(touched) == 1 else "all"
        if stage_of(name) == "editor":
            steps.append(by_attributes(name, strengths, touches, options))
        else:
            painter: Painter = PAINTERS.backend(name).load(options.run)
            _known(name, painter, flipped(strengths, man=True))
            wide = any(row.touches == "hair" for row in rows)
            steps.append(
                Painted(
                    name, painter, Strengths(name, painter, strengths, options.run), touches, wide
                )
            )
    return steps


def file_of(request: EditRequest, steps: Sequence[EditStep], options: EditOptions) -> EditFile:
    """What --save-edit keeps, once the passes have been settled."""
    learnt = [way.change.file for way in steps if isinstance(way, Edited)]
    return next(
        (file for file in learnt if file is not None), EditFile(request.attributes, options.engine)
    )


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
        return _known(self.engine, self.painter, flipped(self.strengths, is_man(view, self.run)))


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
            raise UsageError(
                f"{engine} cannot do {name}.",
                f"It does: {', '.join(painter.attributes)}. '--engine auto' takes what can.",
            )
    return out
