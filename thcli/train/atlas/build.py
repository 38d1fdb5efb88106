"""Conversion of measured, labelled faces to the directions of the atlas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.editors.atlas import appearance, layout
from thcli.editors.atlas.directions import HALF, AtlasDirections, quantize, symmetrize
from thcli.editors.atlas.regions import region_mask
from thcli.train.atlas.edits import (
    BROWS,
    EDITS,
    SKIN,
    SMILE,
    AtlasEdit,
    design_matrix,
    regression_columns,
)
from thcli.train.atlas.regress import (
    MeasuredFaces,
    NormalEquations,
    accumulate,
    decode_texture,
    solve,
)

_COVARIATES = (SKIN, BROWS)
_MIN_VISIBLE = 5.0  # visible pairs at a texel below which a difference fades


def measure_appearance(faces: MeasuredFaces) -> Array32:
    """Return the looks (N, LOOK_SIZE) of all faces."""
    numbers = []
    for n in range(len(faces)):
        half = decode_texture(faces.textures[n])
        half_weight = faces.weights[n].astype(np.float32) / 255
        texture = np.concatenate([half, half[:, ::-1]], 1)
        weight = np.concatenate([half_weight, half_weight[:, ::-1]], 1)
        numbers.append(appearance.measure(texture, weight))
    return np.stack(numbers)


def build_directions(
    faces: MeasuredFaces,
    labels: npt.NDArray[np.bool_],
    angles: Array,
    edits: Mapping[str, AtlasEdit] = EDITS,
) -> AtlasDirections:
    """Estimate the directions of all edits.

    Args:
        faces: N measured faces.
        labels: (N, 40) in CelebA's order.
        angles: (N, 3) degrees.
        edits: Name -> edit.
    """
    numbers = measure_appearance(faces)
    design, names = design_matrix(labels, angles, faces.shapes.astype(np.float64), numbers)
    normal = accumulate(faces, design)
    covariates = appearance.covariates(numbers)
    return assemble_directions(normal, names, covariates, edits)


def assemble_directions(
    normal: NormalEquations,
    names: list[str],
    covariates: Array32,
    edits: Mapping[str, AtlasEdit],
) -> AtlasDirections:
    """Solve the regression of every edit and assemble the directions.

    Args:
        normal: The normal equations.
        names: Columns of the design matrix.
        covariates: (N, COVARIATES) of the faces.
        edits: Name -> edit.
    """
    count = len(edits)
    texture = np.zeros((count, layout.ROWS, HALF, 3), np.float32)
    depends = np.zeros((count, appearance.COVARIATES, layout.ROWS, HALF, 3), np.float32)
    detail = np.zeros((count, layout.ROWS // 2, HALF // 2, 2), np.float32)
    shape = np.zeros((count, 468, 3), np.float32)
    for k, edit in enumerate(edits.values()):
        columns = regression_columns(edit, names)
        wanted = [edit.label, *(f"{edit.label} x {covariate}" for covariate in edit.depends)]
        textures, details, shapes = solve(normal, columns, [names.index(name) for name in wanted])
        region = region_mask(edit.area)
        strength = edit.sign * edit.texture * region[:, :HALF, None]
        texture[k] = strength * textures[0]
        for part, covariate in zip(textures[1:], edit.depends, strict=True):
            depends[k, _COVARIATES.index(covariate)] = strength * part
        # halved, from the logarithm of the variance to that of the amplitude
        detail[k] = edit.sign * edit.detail * region[::2, :HALF:2, None] * details[0] / 2
        shape[k] = edit.sign * edit.shape * symmetrize(shapes[0].astype(np.float64))
    coded, scale = quantize(texture)
    coded_depends, depends_scale = quantize(depends)
    spread = np.maximum(covariates.std(0), 1e-6)
    return AtlasDirections(
        tuple(edits),
        coded,
        scale,
        coded_depends,
        depends_scale,
        detail.astype(np.float16),
        shape.astype(np.float16),
        covariates.mean(0),
        spread.astype(np.float32),
    )


def directions_from_pairs(
    faces: MeasuredFaces, name: str, pairs: Sequence[tuple[int, int]], edit: AtlasEdit = SMILE
) -> AtlasDirections:
    """Return one direction: the mean difference of pairs of images of the same person.

    Args:
        faces: Measured faces.
        name: Of the direction.
        pairs: Rows of the faces (without, with) the attribute.
        edit: Strengths of texture, shape and detail.
    """
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    weight = np.minimum(faces.weights[first], faces.weights[second]).astype(np.float32) / 255
    total = np.maximum(weight.sum(0), _MIN_VISIBLE)
    change = decode_texture(faces.textures[second]) - decode_texture(faces.textures[first])
    texture = (change * weight[..., None]).sum(0) / total[..., None]
    half_weight = weight[:, ::2, ::2, None]
    change = faces.details[second].astype(np.float32) - faces.details[first].astype(np.float32)
    detail = (change * half_weight).sum(0)
    detail = detail / np.maximum(half_weight.sum(0), _MIN_VISIBLE) / 2
    shape = symmetrize((faces.shapes[second] - faces.shapes[first]).mean(0).astype(np.float64))
    coded, scale = quantize((edit.texture * texture)[None].astype(np.float32))
    no_depends, no_scale = quantize(
        np.zeros((1, appearance.COVARIATES, layout.ROWS, HALF, 3), np.float32)
    )
    return AtlasDirections(
        (name,),
        coded,
        scale,
        no_depends,
        no_scale,
        (edit.detail * detail)[None].astype(np.float16),
        (edit.shape * shape)[None].astype(np.float16),
        np.zeros(appearance.COVARIATES, np.float32),
        np.ones(appearance.COVARIATES, np.float32),
    )
