"""Arrays of each kind of motion (docs/motion-file.md), for those that write and read motion files.

A kind that is not in KINDS, such as that of an engine in another package, may have any arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thcli.core.expressions import SLIDERS
from thcli.core.types import AnyArray
from thcli.faces.landmarks.topology import POINTS
from thcli.motion.file.format import MAX_VALUE, FormatError

MAX_SIDE = 1 << 16  # pixels of an image
MAX_POSE = 10.0  # radians, logarithm of the scale, image heights
MAX_SHAPE = 20.0  # canonical units, widths of an eye: a face is 2 high
_TYPES = {"f": "floats", "i": "integers", "b": "booleans"}


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Type of an array.

    shape: of one frame's row, or of a constant; None: any number.
    type: "f" for floats, "i" for integers, "b" for booleans.
    optional: a motion may lack it.
    least, most: range of its values.
    """

    shape: tuple[int | None, ...] = ()
    type: str = "f"
    optional: bool = False
    least: float = -MAX_VALUE
    most: float = MAX_VALUE

    def fits(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bool:
        """Return whether an array has this type and this shape."""
        return (
            dtype.kind == self.type
            and len(shape) == len(self.shape)
            and all(want in (None, side) for want, side in zip(self.shape, shape, strict=True))
        )


@dataclass(frozen=True, slots=True)
class KindSpec:
    """Arrays of a kind of motion by name: rows of each frame, and constants."""

    rows: Mapping[str, ArraySpec]
    constants: Mapping[str, ArraySpec] = field(default_factory=dict)


def _bounded(most: float, *shape: int, optional: bool = False) -> ArraySpec:
    return ArraySpec(shape, optional=optional, least=-most, most=most)


_LANDMARKS = {"landmarks": ArraySpec((68, 2), optional=True)}
_SIZE = ArraySpec((2,), "i", least=1, most=MAX_SIDE)
_ANGLES = _bounded(1e4, 3)  # degrees
KINDS: dict[str, KindSpec] = {
    "mesh": KindSpec(
        {
            "pose": _bounded(MAX_POSE, 7),
            "expression": _bounded(MAX_SHAPE, POINTS, 3),
            "gaze": _bounded(MAX_SHAPE, 2, 2),
            "logit": ArraySpec(optional=True),
            "track": ArraySpec(type="i", optional=True),
            "cut": ArraySpec(type="b", optional=True),
            "camera": _bounded(MAX_POSE, 4, optional=True),
            "torso": _bounded(MAX_POSE, 4, optional=True),
            "inside": _bounded(1, optional=True),
            "skin": _bounded(1, POINTS, 2, optional=True),
            "turn": _bounded(1e4, 3, optional=True),
            **{
                f"slider_{name.replace('-', '_')}": _bounded(slider.high, optional=True)
                for name, slider in SLIDERS.items()
            },
        },
        {
            "neutral": _bounded(MAX_SHAPE, POINTS, 3),
            "size": _SIZE,
            "rest": _bounded(MAX_POSE, 7, optional=True),
        },
    ),
    "x2face": KindSpec({"code": ArraySpec((None,)), **_LANDMARKS}),
    "x2face_audio": KindSpec({"change": ArraySpec((None,))}),
    "pose": KindSpec({"angles": _ANGLES}),
    "monkeynet": KindSpec({"mean": ArraySpec((10, 2)), "var": ArraySpec((10, 2, 2)), **_LANDMARKS}),
    "fomm": KindSpec(
        {"value": ArraySpec((10, 2)), "jacobian": ArraySpec((10, 2, 2)), **_LANDMARKS}
    ),
    "facevid2vid": KindSpec(
        {
            "angles": _ANGLES,
            "shift": ArraySpec((3,)),
            "expression": ArraySpec((15, 3)),
            **_LANDMARKS,
        }
    ),
    "liveportrait": KindSpec(
        {
            "angles": _ANGLES,
            "shift": ArraySpec((3,)),
            "scale": ArraySpec((1,)),
            "expression": ArraySpec((21, 3)),
            "canonical": ArraySpec((21, 3), optional=True),
            "openings": ArraySpec((3,)),
            **_LANDMARKS,
        }
    ),
    "real3d": KindSpec({"expression": ArraySpec((64,)), "blink": ArraySpec(optional=True)}),
    "coefficients": KindSpec(
        {
            "angles": _ANGLES,
            "rotation": ArraySpec((3,)),
            "scale": ArraySpec(),
            "translation": ArraySpec((2,)),
            "identity": ArraySpec((None,)),
            "expression": ArraySpec((None,)),
        }
    ),
    "crop": KindSpec(
        {
            "crop_from_frame": ArraySpec((3, 3)),
            "outline": ArraySpec((36, 2)),
            "shot": ArraySpec(type="i"),
            "box": ArraySpec((4,), optional=True),
            "mesh": ArraySpec((POINTS, 3), optional=True),
        },
        {"size": _SIZE, "frame_size": _SIZE},
    ),
}


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return " x ".join("any" if side is None else str(side) for side in shape) or "single"


def row_shapes(kind: str, *names: str) -> dict[str, tuple[int, ...]]:
    """Return the shape of one frame's row in each array, or in those named."""
    rows = KINDS[kind].rows
    chosen = names or tuple(name for name, spec in rows.items() if not spec.optional)
    return {name: tuple(side or 0 for side in rows[name].shape) for name in chosen}


def check_arrays(
    kind: str,
    rows: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
    constants: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
) -> None:
    """Check that a motion has the arrays of its kind; more are allowed.

    Args:
        kind: of the motion.
        rows: dtype and shape of a row of each array per frame.
        constants: dtype and shape of each constant.

    Raises:
        FormatError: an array is missing, or has another type or shape.
    """
    spec = KINDS.get(kind)
    if spec is None:
        return
    for what, wanted, found in (
        ("array", spec.rows, rows),
        ("constant", spec.constants, constants),
    ):
        for name, array in wanted.items():
            if name not in found:
                if not array.optional:
                    raise FormatError(f"it is of kind {kind!r}, but has no {what} {name!r}")
            elif not array.fits(*found[name]):
                dtype, shape = found[name]
                raise FormatError(
                    f"its {what} {name!r} has {_shape_text(shape)} values of type {dtype}; "
                    f"kind {kind!r} has {_shape_text(array.shape)} {_TYPES[array.type]}"
                )


def check_values(kind: str, arrays: Mapping[str, AnyArray], constants: bool = False) -> None:
    """Check that the values of a motion's arrays are within the ranges of its kind.

    Raises:
        FormatError: a value is outside.
    """
    spec = KINDS.get(kind)
    wanted = {} if spec is None else spec.constants if constants else spec.rows
    for name, array in wanted.items():
        values = arrays.get(name)
        if values is None or not values.size or array.type == "b":
            continue
        low, high = float(values.min()), float(values.max())
        if not (array.least <= low and high <= array.most):
            raise FormatError(
                f"its {'constant' if constants else 'array'} {name!r} has values from {low:g} to "
                f"{high:g}; kind {kind!r} has {array.least:g} to {array.most:g}"
            )
