"""Directions of attributes in an editor's identity space, from labelled faces (Kim et al. 2023, sec. 3.3): one fit, no loop.

Two kinds. classifier: the rows of a linear classifier, as published (logistic regression on normalised identities). effects: what having
an attribute does to an identity while those in `apart` stay as they are (least squares of identities on labels); it leads to identities
that occur, where a classifier's row leads to whatever tells two kinds of faces apart, and what comes along with an attribute in
the data, as age with glasses, stays out of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from thcli.core.errors import OutputError, UsageError
from thcli.core.events import Finished, Listener, Started, Step, silent
from thcli.core.options import AttributeTrainOptions, RunOptions
from thcli.core.types import Array32, Face
from thcli.editors.backends import EDITORS
from thcli.editors.dva.attributes import Directions, packed
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.trajectory import Steerable
from thcli.evaluate.datasets.labelled_images import Labelled, digits_of, labelled
from thcli.evaluate.metrics.attribute_scores import auc
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, moved
from thcli.train.core.checkpoints import save_tensors
from thcli.train.dva.faces import found, read

BATCH = 32
WEIGHT_DECAY = 1e-4  # of the classifier, with identities in spreads
UPDATES = 60  # of its quasi-Newton fit, all 40 at once
LENGTH = (
    1.5  # strength 1 goes so many times as far as from faces without to faces with an attribute
)
DEFAULT = AttributeTrainOptions()


def attributes(
    folder: Path, run: Path, options: AttributeTrainOptions = DEFAULT, on: Listener = silent
) -> dict[str, Any]:
    """Fits directions to the faces of a folder and writes RUN/attributes.safetensors; returns the report of `--json`.

    Raises MediaError for a folder without labels or faces, UsageError, OutputError, WeightsError, DeviceError.
    """
    began = time.perf_counter()
    apart = apart_of(options.apart)
    path = run / "attributes.safetensors"
    if path.exists() and not options.overwrite:
        raise OutputError(f"{path} exists already.", "Give --overwrite, or another -o.")
    editor = EDITORS.backend(options.editor).load(options.run)
    if not isinstance(editor, Steerable):
        raise UsageError(
            f"The editor {options.editor} has no identities to move.", "There are: dva, dva-s."
        )
    faces = labelled(folder)
    learnt = encoded(
        editor, folder, some(faces.only(digits_of(options.persons)), options.most), options.run, on
    )
    tested = encoded(
        editor,
        folder,
        some(faces.only(digits_of(options.tested)), options.most // 4),
        options.run,
        on,
    )
    directions = fitted(*learnt, editor.units, editor.fingerprint, options.kind, apart)
    run.mkdir(parents=True, exist_ok=True)
    save_tensors(
        path,
        {k: torch.from_numpy(np.array(v)) for k, v in packed(directions).items()},
        {"editor": options.editor},
    )
    return {
        "command": "train attributes",
        "output": str(path),
        "editor": options.editor,
        "kind": options.kind,
        "faces": len(learnt[0]),
        "tested": len(tested[0]),
        "seconds": round(time.perf_counter() - began, 3),
        **told(directions, *tested, apart),
    }


def apart_of(text: str) -> tuple[str, ...]:
    """Names with commas between, as CelebA has them. Raises UsageError."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := [name for name in names if name not in CELEBA]:
        raise UsageError(
            f"There is no attribute {unknown[0]!r} in CelebA.", f"There are: {', '.join(CELEBA)}."
        )
    return names


def some(faces: Labelled, most: int) -> Labelled:
    """At most so many, evenly over all."""
    if len(faces) <= most:
        return faces
    return faces.at(np.linspace(0, len(faces) - 1, most).astype(np.int64))


def encoded(
    editor: Any, folder: Path, faces: Labelled, run: RunOptions, on: Listener = silent
) -> tuple[Array32, npt.NDArray[np.bool_]]:
    """Identities (N, I) of pictures as the editor sees them, and their labels (N, 40); those without a face are left out."""
    named = {str(path.relative_to(folder)): row for row, path in enumerate(faces.paths)}
    known = found(folder, list(named), run, on)
    began = time.perf_counter()
    on(Started("encode", len(known.names), "pictures"))
    rows: list[Array32] = []
    for start in range(0, len(known.names), BATCH):
        crops, seen = [], []
        for name, points in zip(
            known.names[start : start + BATCH], known.points[start : start + BATCH], strict=True
        ):
            mesh = points.astype(np.float32)
            where = getattr(align, editor.template)(mesh, editor.crop_size)
            crops.append(crop(read(folder / name), where))
            low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
            face = Face(np.concatenate([low, high]).astype(np.float32), 1.0, mesh=mesh)
            seen.append(moved(face, where.crop_from_frame))
        rows.append(editor.encode(crops, seen)[0])
        on(Step("encode", start + len(crops)))
    on(Finished("encode", len(known.names), time.perf_counter() - began))
    return np.concatenate(rows), faces.labels[[named[name] for name in known.names]]


def fitted(
    identities: Array32,
    labels: npt.NDArray[np.bool_],
    units: Sequence[int],
    fingerprint: str,
    kind: str,
    apart: Sequence[str],
) -> Directions:
    """Directions of that kind. identities: (N, I).  labels: (N, 40).  An attribute that all or none have gets a direction of length 0."""
    mean, spread = identities.mean(0), np.maximum(identities.std(0, ddof=1), 1e-6)
    normal = ((identities - mean) / spread).astype(np.float64)
    rows = classifier(normal, labels) if kind == "classifier" else effects(normal, labels, apart)
    if kind == "classifier" and apart:
        rows = without(rows, [CELEBA.index(name) for name in apart])
    rows = np.stack([row / max(float(np.linalg.norm(row)), 1e-12) for row in rows])
    sums = np.array(
        [
            [
                (normal[labels[:, n] == yes] @ rows[n]).mean() if (labels[:, n] == yes).any() else 0
                for yes in (True, False)
            ]
            for n in range(len(rows))
        ]
    )
    lengths = LENGTH * np.abs(sums[:, 0] - sums[:, 1])
    return Directions(
        rows.astype(np.float32),
        mean.astype(np.float32),
        spread.astype(np.float32),
        CELEBA,
        lengths.astype(np.float32),
        tuple(units),
        fingerprint,
    )


def classifier(
    normal: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """(40, I) logistic regressions, the rare answers as weighty as the frequent ones, all at once by L-BFGS."""
    x, y = torch.from_numpy(normal).float(), torch.from_numpy(labels).float()
    share = y.mean(0).clamp(1e-3, 1 - 1e-3)
    weights = y / share / 2 + (1 - y) / (1 - share) / 2
    rows, bias = (
        torch.zeros(y.shape[1], x.shape[1], requires_grad=True),
        torch.zeros(y.shape[1], requires_grad=True),
    )
    optimiser = torch.optim.LBFGS([rows, bias], max_iter=UPDATES, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        odds = functional.linear(x, rows, bias)
        total = (
            (weights * functional.binary_cross_entropy_with_logits(odds, y, reduction="none"))
            .mean(0)
            .sum()
        )
        total = total + WEIGHT_DECAY * rows.square().sum()
        total.backward()  # type: ignore[no-untyped-call]  # torch's own
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]  # torch's own
    return rows.detach().numpy().astype(np.float64)


def effects(
    normal: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_], apart: Sequence[str]
) -> npt.NDArray[np.float64]:
    """(40, I) what each attribute adds to an identity, those in `apart` held: least squares on a constant, them and the attribute."""
    held = [CELEBA.index(name) for name in apart]
    rows = []
    for number in range(labels.shape[1]):
        others = [other for other in held if other != number]
        design = np.column_stack(
            [np.ones(len(normal)), labels[:, [number, *others]].astype(np.float64)]
        )
        ridge = 1e-6 * len(normal) * np.eye(design.shape[1])
        rows.append(np.linalg.solve(design.T @ design + ridge, design.T @ normal)[1])
    return np.stack(rows)


def without(rows: npt.NDArray[np.float64], apart: Sequence[int]) -> npt.NDArray[np.float64]:
    """(40, I) rows at a right angle to those in `apart` (other than themselves): they then change no score of theirs (Shen et al. 2020)."""
    out = rows.copy()
    for number in range(len(rows)):
        basis = np.linalg.qr(rows[[other for other in apart if other != number]].T)[0]
        out[number] -= basis @ (basis.T @ rows[number])
    return out


def told(
    directions: Directions, identities: Array32, labels: npt.NDArray[np.bool_], apart: Sequence[str]
) -> dict[str, Any]:
    """Of faces that were not learnt from: how well each direction tells its attribute (AUC), and how far it leads along those in `apart`."""
    scores = directions.scores(identities)
    unit = directions.rows / np.maximum(
        np.linalg.norm(directions.rows, axis=1, keepdims=True), 1e-12
    )
    areas = {name: round(auc(scores[:, n], labels[:, n]), 4) for n, name in enumerate(CELEBA)}
    lengths = np.ones(len(CELEBA)) if directions.lengths is None else directions.lengths
    each = {
        name: {
            "auc": areas[name],
            "length": round(float(lengths[n]), 3),
            "along": {
                other: round(float(unit[n] @ unit[CELEBA.index(other)]), 3)
                for other in apart
                if other != name
            },
        }
        for n, name in enumerate(CELEBA)
    }
    return {"auc": round(float(np.nanmean(list(areas.values()))), 4), "attributes": each}
