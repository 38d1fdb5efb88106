"""From measured pictures with labels to the directions that are shipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.editors.atlas import appearance as looks
from thcli.editors.atlas import layout as plan
from thcli.editors.atlas.directions import HALF, Directions, in_bytes, symmetric
from thcli.editors.atlas.regions import area
from thcli.editors.shared.celeba import CELEBA
from thcli.train.atlas.edits import BROWS, EDITS, SKIN, SMILE, Edit, columns, used
from thcli.train.atlas.regress import Normal, Rows, decoded, solved, sums

_LEANINGS = (SKIN, BROWS)
_SEEN = 5.0  # pictures that must show a place of a difference
_DOUBT = 1e-3  # of the judgement, a picture


def looks_of(rows: Rows) -> tuple[Array32, Array32]:
    """(N, look.NUMBERS) of all pictures, and their faces as `look.coarse` has them."""
    out, faces = [], []
    for n in range(len(rows)):
        half, one_side = decoded(rows.textures[n]), rows.weights[n].astype(np.float32) / 255
        texture, weight = (
            np.concatenate([half, half[:, ::-1]], 1),
            np.concatenate([one_side, one_side[:, ::-1]], 1),
        )
        out.append(looks.measured(texture, weight))
        faces.append(looks.coarse(texture, weight))
    return np.stack(out), np.stack(faces)


def judged(faces: Array32, labels: npt.NDArray[np.bool_]) -> Array32:
    """Weights of `look.likeness` that tell faces (N, ...) with a label (N,) from those without, by ridge regression."""
    flat = faces.reshape(len(faces), -1).astype(np.float64)
    goal = np.where(labels, 0.5 / max(labels.mean(), 1e-3), -0.5 / max(1 - labels.mean(), 1e-3))
    size = flat.shape[1]
    found = np.linalg.solve(flat.T @ flat + _DOUBT * len(flat) * np.eye(size), flat.T @ goal)
    return found.reshape(faces.shape[1:]).astype(np.float32)


def built(
    rows: Rows, labels: npt.NDArray[np.bool_], angles: Array, edits: Mapping[str, Edit] = EDITS
) -> Directions:
    """labels: (N, 40) in CelebA's order.  angles: (N, 3) degrees."""
    found, faces = looks_of(rows)
    man = judged(faces, labels[:, CELEBA.index("Male")])
    table, names = columns(labels, angles, rows.shapes.astype(np.float64), found)
    normal = sums(rows, table)
    leaning = looks.leanings(found)
    return assembled(normal, names, leaning, man, edits)


def assembled(
    normal: Normal, names: list[str], leaning: Array32, man: Array32, edits: Mapping[str, Edit]
) -> Directions:
    """The directions from the sums. leaning: (N, LEANINGS)."""
    count = len(edits)
    texture = np.zeros((count, plan.ROWS, HALF, 3), np.float32)
    depends = np.zeros((count, looks.LEANINGS, plan.ROWS, HALF, 3), np.float32)
    detail = np.zeros((count, plan.ROWS // 2, HALF // 2, 2), np.float32)
    shape = np.zeros((count, 468, 3), np.float32)
    for k, edit in enumerate(edits.values()):
        use = used(edit, names)
        own = [
            names.index(edit.label),
            *(names.index(f"{edit.label} x {number}") for number in edit.depends),
        ]
        textures, details, shapes = solved(normal, use, own)
        share = edit.sign * edit.texture * area(edit.area)[:, :HALF, None]
        texture[k] = share * textures[0]
        for part, number in zip(textures[1:], edit.depends, strict=True):
            depends[k, _LEANINGS.index(number)] = share * part
        detail[k] = (
            edit.sign * edit.detail * area(edit.area)[::2, :HALF:2, None] * details[0] / 2
        )  # of the variance: half of it is the amplitude's
        shape[k] = edit.sign * edit.shape * symmetric(shapes[0].astype(np.float64))
    coded, scale = in_bytes(texture)
    coded_more, scale_more = in_bytes(depends)
    spread = np.maximum(leaning.std(0), 1e-6)
    return Directions(
        tuple(edits),
        coded,
        scale,
        coded_more,
        scale_more,
        detail.astype(np.float16),
        shape.astype(np.float16),
        leaning.mean(0),
        spread.astype(np.float32),
        man,
    )


def differences(
    rows: Rows, name: str, pairs: Sequence[tuple[int, int]], edit: Edit = SMILE
) -> Directions:
    """One direction: what differs between two pictures of the same person, (without, with) by their rows, on average."""
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    seen = np.minimum(rows.weights[first], rows.weights[second]).astype(np.float32) / 255
    total = np.maximum(seen.sum(0), _SEEN)
    texture = (
        (decoded(rows.textures[second]) - decoded(rows.textures[first])) * seen[..., None]
    ).sum(0) / total[..., None]
    less = seen[:, ::2, ::2, None]
    change = rows.details[second].astype(np.float32) - rows.details[first].astype(np.float32)
    detail = (change * less).sum(0) / np.maximum(less.sum(0), _SEEN) / 2
    shape = symmetric((rows.shapes[second] - rows.shapes[first]).mean(0).astype(np.float64))
    coded, scale = in_bytes((edit.texture * texture)[None].astype(np.float32))
    nothing = np.zeros((1, looks.LEANINGS, plan.ROWS, HALF, 3), np.float32)
    none, no_scale = in_bytes(nothing)
    return Directions(
        (name,),
        coded,
        scale,
        none,
        no_scale,
        (edit.detail * detail)[None].astype(np.float16),
        (edit.shape * shape)[None].astype(np.float16),
        np.zeros(looks.LEANINGS, np.float32),
        np.ones(looks.LEANINGS, np.float32),
        np.zeros((plan.ROWS // looks.COARSE, HALF // looks.COARSE, 4), np.float32),
    )
