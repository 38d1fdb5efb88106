"""Loading of the editors and painters of a request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from thcli.core.errors import UsageError
from thcli.core.events import Listener
from thcli.core.options import EditOptions, EditRegion, RunOptions
from thcli.core.protocols import Painter
from thcli.editors.backends import PAINTERS
from thcli.editors.catalogue import attribute_of, is_free, stage_of
from thcli.editors.edit_file import EditFile
from thcli.editors.shared.keys import base_name
from thcli.pipeline.editing.face_in_frame import REMOVERS
from thcli.pipeline.editing.identity_edits import (
    is_man,
    load_attribute_step,
    load_recombined_step,
    load_text_step,
)
from thcli.pipeline.editing.monochrome import DroppedColours
from thcli.pipeline.editing.no_change import notice_of
from thcli.pipeline.editing.painter_step import PainterStep
from thcli.pipeline.editing.request import GENDER, EditRequest, resolve_gender
from thcli.pipeline.editing.steps import EditorStep, EditStep, FaceView
from thcli.pipeline.editing.worn_glasses import WornGlassesStep

_WORN_NAMES = ("eyeglasses", "sunglasses")
_SKIN_TONES = frozenset({"pale"})  # change the neck too, which a crop of the face does not hold


def plan_steps(request: EditRequest, options: EditOptions, on: Listener) -> list[EditStep]:
    """Load the steps of a request in the order in which they are applied.

    Raises:
        WeightsError: weights are not installed.
        DeviceError: the device cannot be used.
        UsageError: a backend does not support an attribute.
    """
    if request.text or request.edit_file is not None:
        return [load_text_step(name, request, options, on) for name in request.engines]
    steps: list[EditStep] = []
    dropped = DroppedColours(on)
    for name, strengths in request.engines.items():
        regions = {attribute_of(attribute).affected_region for attribute in strengths}
        if not strengths:
            steps.append(load_recombined_step(name, options))
        elif stage_of(name) == "editor":
            affected_region: EditRegion = regions.pop() if len(regions) == 1 else "all"
            steps.append(load_attribute_step(name, strengths, affected_region, options))
        else:
            painter: Painter = PAINTERS.backend(name).load(options.run)
            # Checks the attributes before any work.
            _painter_strengths(name, painter, resolve_gender(strengths, male=True))
            of_face = PainterStrengths(name, painter, strengths, options.run)
            step = _painter_step(name, painter, of_face, regions, options.run)
            wide = step.wide or not _SKIN_TONES.isdisjoint(strengths)
            steps.append(replace(step, notice=notice_of(painter, on), wide=wide, dropped=dropped))
    return _take_off_glasses(request, steps, options, on)


def _take_off_glasses(
    request: EditRequest, steps: list[EditStep], options: EditOptions, on: Listener
) -> list[EditStep]:
    """Return the steps that also remove the glasses that a face wears before it gets new ones.

    It needs the engine removers, which `--licence` or `--engine` may exclude.
    """
    added = [
        strength
        for strengths in request.engines.values()
        for name, strength in strengths.items()
        if base_name(name) in _WORN_NAMES and strength >= 0
    ]
    allowed = request.engine == "auto" and (options.run.licence == "any" or is_free(REMOVERS))
    if not allowed or not added:
        return steps
    own = next((step for step in steps if step.name == REMOVERS), None)
    removes_others = isinstance(own, PainterStep)
    if not isinstance(own, PainterStep):
        painter: Painter = PAINTERS.backend(REMOVERS).load(options.run)
        own = _painter_step(REMOVERS, painter, lambda _: {}, {"face"}, options.run)
    others = [step for step in steps if step.name != REMOVERS]
    return [
        *(step for step in others if isinstance(step, EditorStep)),
        WornGlassesStep(own, min(max(added), 1.0), on, others=removes_others),
        *(step for step in others if not isinstance(step, EditorStep)),
    ]


def _painter_step(
    name: str,
    painter: Painter,
    strengths: Callable[[FaceView], Mapping[str, float]],
    regions: Collection[EditRegion],
    run: RunOptions,
) -> PainterStep:
    """Make the step of a painter that changes some regions."""
    region: EditRegion = next(iter(regions)) if len(regions) == 1 else "all"
    workers = run.workers
    return PainterStep(name, painter, strengths, region, "hair" in regions, workers)


def build_edit_file(
    request: EditRequest, steps: Sequence[EditStep], options: EditOptions
) -> EditFile:
    """Return the edit for --save-edit, after the steps were finalised."""
    learnt = [step.identity_edit.file for step in steps if isinstance(step, EditorStep)]
    attribute_edit = EditFile(request.attributes, options.engine)
    return next((file for file in learnt if file is not None), attribute_edit)


@dataclass(frozen=True, slots=True)
class PainterStrengths:
    """Strengths of a painter's attributes for a face.

    engine: backend of the painter, for messages.
    strengths: by the names of the catalogue.
    run: device of the gender classifier.
    """

    engine: str
    painter: Painter
    strengths: Mapping[str, float]
    run: RunOptions

    def __call__(self, view: FaceView) -> Mapping[str, float]:
        """Return attribute of the painter -> strength."""
        strengths = self.strengths
        if GENDER in strengths:
            strengths = resolve_gender(strengths, is_man(view, self.run))
        return _painter_strengths(self.engine, self.painter, strengths)


def _painter_strengths(
    engine: str, painter: Painter, strengths: Mapping[str, float]
) -> dict[str, float]:
    """Convert strengths to the painter's attributes; opposites get negative strengths.

    Raises UsageError for an attribute that the painter does not support.
    """
    out: dict[str, float] = {}
    for name, strength in strengths.items():
        opposite = attribute_of(name).opposite
        if base_name(name) in painter.attributes:
            out[name] = out.get(name, 0.0) + strength
        elif opposite in painter.attributes:
            out[opposite] = out.get(opposite, 0.0) - strength
        else:
            raise UsageError(
                f"{engine} does not support {name}.",
                f"It supports {', '.join(painter.attributes)}; '--engine auto' chooses others.",
            )
    return out
