"""Loading of the editors and painters of a request."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from thcli.core.errors import UsageError
from thcli.core.events import Listener
from thcli.core.options import EditOptions, EditRegion, RunOptions
from thcli.core.protocols import Painter
from thcli.editors.backends import PAINTERS
from thcli.editors.catalogue import attribute_of, is_free, stage_of
from thcli.editors.edit_file import EditFile
from thcli.editors.shared.colours import base_name
from thcli.faces.parsing.classes import FACE, class_number
from thcli.pipeline.editing.identity_edits import is_man, load_attribute_step, load_text_step
from thcli.pipeline.editing.request import GENDER, EditRequest, resolve_gender
from thcli.pipeline.editing.steps import EditorStep, EditStep, FaceView, PainterStep

REMOVERS = "removers"
GLASSES = ("eyeglasses", "sunglasses")
_GLASSES = class_number("eye_g")
_WORN = 0.01  # share of glasses in a face that wears some; bare faces have none


def plan_steps(request: EditRequest, options: EditOptions, on: Listener) -> list[EditStep]:
    """Load the steps of a request in the order in which they are applied.

    Raises:
        WeightsError: weights are not installed.
        DeviceError: the device cannot be used.
        UsageError: a backend does not support an attribute.
    """
    if request.text:
        return [load_text_step(name, request, options, on) for name in request.engines]
    steps: list[EditStep] = []
    for name, strengths in request.engines.items():
        regions = {attribute_of(attribute).affected_region for attribute in strengths}
        wide = "hair" in regions
        affected_region: EditRegion = regions.pop() if len(regions) == 1 else "all"
        if stage_of(name) == "editor":
            steps.append(load_attribute_step(name, strengths, affected_region, options))
        else:
            painter: Painter = PAINTERS.backend(name).load(options.run)
            # Checks the attributes before any work.
            _painter_strengths(name, painter, resolve_gender(strengths, male=True))
            of_face = PainterStrengths(name, painter, strengths, options.run)
            workers = options.run.threads or os.cpu_count() or 1
            steps.append(PainterStep(name, painter, of_face, affected_region, wide, workers))
    return _take_off_glasses(request, steps, options)


def _take_off_glasses(
    request: EditRequest, steps: list[EditStep], options: EditOptions
) -> list[EditStep]:
    """Return the steps that also take off the glasses that a face wears before it gets new ones.

    It needs the engine removers, which `--licence` or `--engine` may exclude.
    """
    added = [
        base_name(name)
        for strengths in request.engines.values()
        for name, strength in strengths.items()
        if strength > 0
    ]
    allowed = options.engine == "auto" and (options.run.licence == "any" or is_free(REMOVERS))
    if not allowed or not any(name in GLASSES for name in added):
        return steps
    own = next((step for step in steps if step.name == REMOVERS), None)
    if isinstance(own, PainterStep):
        worn = replace(own, strengths=WornGlasses(own.strengths))
        return [worn if step is own else step for step in steps]
    painter: Painter = PAINTERS.backend(REMOVERS).load(options.run)
    workers = options.run.threads or os.cpu_count() or 1
    worn = PainterStep(REMOVERS, painter, WornGlasses(lambda _: {}), "face", False, workers)
    return [step for step in steps if isinstance(step, EditorStep)] + [
        worn,
        *(step for step in steps if not isinstance(step, EditorStep)),
    ]


@dataclass(frozen=True, slots=True)
class WornGlasses:
    """Strengths of removers that also remove the glasses of a face that wears some."""

    others: Callable[[FaceView], Mapping[str, float]]

    def __call__(self, view: FaceView) -> Mapping[str, float]:
        """Return attribute -> strength; none for a bare face."""
        planes = view.planes()
        worn = float(planes[_GLASSES].sum())
        wears = worn > _WORN * float(planes[list(FACE)].sum())
        return {**self.others(view), **({"eyeglasses": -1.0} if wears else {})}


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
