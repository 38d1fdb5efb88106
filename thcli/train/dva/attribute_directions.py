"""Attribute directions in an editor's identity space, fitted to labelled faces without a loop.

Source: Kim et al. 2023, sec. 3.3.

There are two kinds.
classifier: the rows of a linear classifier, as published (logistic regression on normalised
identities).
effects: the effect of an attribute on the identity with the attributes in `apart` held fixed (least
squares of identities on labels). Effects lead to identities that occur. A classifier's row leads to
whatever separates two groups of faces, and includes correlated attributes, such as age with
glasses.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from thcli import media
from thcli.core.errors import OutputError, UsageError
from thcli.core.events import Finished, Listener, Started, Step, silent
from thcli.core.options import AttributeTrainOptions, RunOptions, comma_words
from thcli.core.types import Array32, Face
from thcli.editors.backends import EDITORS
from thcli.editors.dva.attributes import IdentityDirections, pack_directions
from thcli.editors.dva.diffusion_editor import DiffusionEditor
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.trajectory import SteerableEditor
from thcli.evaluate.datasets.labelled_images import (
    LabelledImages,
    parse_digits,
    read_labelled_folder,
)
from thcli.evaluate.metrics.attribute_scores import roc_auc
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, transform_face
from thcli.train.core.checkpoints import save_tensors
from thcli.train.dva.faces import locate_faces

BATCH = 32
WEIGHT_DECAY = 1e-4  # of the classifier, on standardised identities
MAX_ITERATIONS = 60  # of its L-BFGS fit, all 40 attributes at once
# Length of strength 1, in units of the distance between faces with and without the attribute.
STRENGTH_SCALE = 1.2
MOTION_SCALE = 0.8  # the same of the landmarks
DEFAULT = AttributeTrainOptions()


def fit_attribute_directions(
    folder: Path, run: Path, options: AttributeTrainOptions = DEFAULT, on: Listener = silent
) -> dict[str, Any]:
    """Fit directions to the faces of a folder and write RUN/attributes.safetensors.

    Args:
        folder: Labelled faces (`evaluate.datasets.labelled_images`).
        run: Folder of the result.
        options: Options of the command.
        on: Listener for progress.

    Returns:
        The report of `--json`.

    Raises:
        MediaError: The folder has no labels or no faces.
        UsageError: The editor has no identity space, or an attribute is unknown.
        OutputError: The file exists or cannot be written.
        WeightsError: Weights of the editor or of the tracker are missing.
        DeviceError: There is no such device.
    """
    start = time.perf_counter()
    apart = parse_attribute_names(options.apart)
    path = run / "attributes.safetensors"
    if path.exists() and not options.overwrite:
        raise OutputError(f"{path} already exists.", "Give --overwrite, or another -o.")
    editor = EDITORS.backend(options.editor).load(options.run)
    if not isinstance(editor, SteerableEditor):
        raise UsageError(f"The editor {options.editor} has no identity space.", "Use dva or dva-s.")
    faces = read_labelled_folder(folder)
    train_faces = subsample(faces.of_persons(parse_digits(options.persons)), options.most)
    test_faces = subsample(faces.of_persons(parse_digits(options.tested)), options.most // 4)
    identities, landmarks, labels = encode_faces(editor, folder, train_faces, options.run, on)
    tested, _, test_labels = encode_faces(editor, folder, test_faces, options.run, on)
    directions = fit_directions(
        identities, labels, editor.part_lengths, editor.fingerprint, options.kind, apart
    )
    if isinstance(editor, DiffusionEditor):
        motion = fit_motion(landmarks, labels, apart, editor.movable)
        directions = replace(directions, motion=motion)
    run.mkdir(parents=True, exist_ok=True)
    save_tensors(
        path,
        {k: torch.from_numpy(np.array(v)) for k, v in pack_directions(directions).items()},
        {"editor": options.editor},
    )
    return {
        "command": "train attributes",
        "output": str(path),
        "editor": options.editor,
        "kind": options.kind,
        "faces": len(identities),
        "tested": len(tested),
        "seconds": round(time.perf_counter() - start, 3),
        **evaluate_directions(directions, tested, test_labels, apart),
    }


def parse_attribute_names(text: str) -> tuple[str, ...]:
    """Parse comma-separated attribute names of CelebA.

    Raises:
        UsageError: A name is unknown.
    """
    names = comma_words(text)
    if unknown := [name for name in names if name not in CELEBA]:
        raise UsageError(
            f"CelebA has no attribute {unknown[0]!r}.", f"Use one of: {', '.join(CELEBA)}."
        )
    return names


def subsample(faces: LabelledImages, limit: int) -> LabelledImages:
    """Return at most `limit` faces, evenly spaced."""
    if len(faces) <= limit:
        return faces
    return faces.at(np.linspace(0, len(faces) - 1, limit).astype(np.int64))


def encode_faces(
    editor: Any, folder: Path, faces: LabelledImages, run: RunOptions, on: Listener = silent
) -> tuple[Array32, Array32, npt.NDArray[np.bool_]]:
    """Encode images with the editor; images without a face are left out.

    Returns:
        Identities (N, I), landmarks (N, L) and labels (N, 40).
    """
    row_of = {str(path.relative_to(folder)): row for row, path in enumerate(faces.paths)}
    located = locate_faces(folder, list(row_of), run, on)
    start = time.perf_counter()
    on(Started("encode", len(located.names), "pictures"))
    identities: list[Array32] = []
    landmarks: list[Array32] = []
    for first in range(0, len(located.names), BATCH):
        part = slice(first, first + BATCH)
        crops, crop_faces = [], []
        for name, points in zip(located.names[part], located.points[part], strict=True):
            mesh = points.astype(np.float32)
            placement = getattr(align, editor.template)(mesh, editor.crop_size)
            crops.append(crop(media.read_image(folder / name), placement))
            low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
            face = Face(np.concatenate([low, high]).astype(np.float32), 1.0, mesh=mesh)
            crop_faces.append(transform_face(face, placement.crop_from_frame))
        for rows, found in zip(
            (identities, landmarks), editor.encode(crops, crop_faces), strict=True
        ):
            rows.append(found)
        on(Step("encode", first + len(crops)))
    on(Finished("encode", len(located.names), time.perf_counter() - start))
    labels = faces.labels[[row_of[name] for name in located.names]]
    return np.concatenate(identities), np.concatenate(landmarks), labels


def fit_directions(
    identities: Array32,
    labels: npt.NDArray[np.bool_],
    part_lengths: Sequence[int],
    fingerprint: str,
    kind: str,
    apart: Sequence[str],
) -> IdentityDirections:
    """Fit directions of the given kind.

    An attribute that all or no faces have gets a direction of length 0.

    Args:
        identities: (N, I).
        labels: (N, 40).
        part_lengths: Lengths of the identity's parts.
        fingerprint: Of the editor.
        kind: effects or classifier.
        apart: Attributes that the other directions leave unchanged.
    """
    mean, spread = identities.mean(0), np.maximum(identities.std(0, ddof=1), 1e-6)
    standardized = ((identities - mean) / spread).astype(np.float64)
    if kind == "classifier":
        rows = fit_classifier(standardized, labels)
        if apart:
            rows = orthogonalize(rows, [CELEBA.index(name) for name in apart])
    else:
        rows = fit_effects(standardized, labels, apart)
    rows = np.stack([row / max(float(np.linalg.norm(row)), 1e-12) for row in rows])

    def mean_score(number: int, value: bool) -> float:
        chosen = labels[:, number] == value
        return float((standardized[chosen] @ rows[number]).mean()) if chosen.any() else 0.0

    means = np.array([[mean_score(n, value) for value in (True, False)] for n in range(len(rows))])
    lengths = STRENGTH_SCALE * np.abs(means[:, 0] - means[:, 1])
    return IdentityDirections(
        rows.astype(np.float32),
        mean.astype(np.float32),
        spread.astype(np.float32),
        CELEBA,
        lengths.astype(np.float32),
        tuple(part_lengths),
        fingerprint,
    )


def fit_motion(
    landmarks: Array32, labels: npt.NDArray[np.bool_], apart: Sequence[str], movable: slice
) -> Array32 | None:
    """Fit what strength 1 of an attribute adds to landmarks: its effect, with `apart` held fixed.

    Args:
        landmarks: (N, L).
        labels: (N, 40).
        apart: Attributes that the others leave unchanged.
        movable: The landmarks that may move.

    Returns:
        (40, L), or None where no landmark may move.
    """
    effects = fit_effects((landmarks - landmarks.mean(0)).astype(np.float64), labels, apart)
    out = np.zeros_like(effects)
    out[:, movable] = MOTION_SCALE * effects[:, movable]
    return out.astype(np.float32) if out.any() else None


def fit_classifier(
    standardized: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Fit 40 logistic regressions with balanced classes, all at once by L-BFGS; return (40, I)."""
    x, y = torch.from_numpy(standardized).float(), torch.from_numpy(labels).float()
    share = y.mean(0).clamp(1e-3, 1 - 1e-3)
    weights = y / share / 2 + (1 - y) / (1 - share) / 2
    rows = torch.zeros(y.shape[1], x.shape[1], requires_grad=True)
    bias = torch.zeros(y.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [rows, bias], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        odds = functional.linear(x, rows, bias)
        each = functional.binary_cross_entropy_with_logits(odds, y, reduction="none")
        total = (weights * each).mean(0).sum() + WEIGHT_DECAY * rows.square().sum()
        total.backward()  # type: ignore[no-untyped-call]  # torch's own
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]  # torch's own
    return rows.detach().numpy().astype(np.float64)


def fit_effects(
    standardized: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_], apart: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Return (40, I): each attribute's effect on the identity with those in `apart` held fixed.

    Least squares on a constant, the attributes in `apart` and the attribute.
    """
    held = [CELEBA.index(name) for name in apart]
    rows = []
    for number in range(labels.shape[1]):
        others = [other for other in held if other != number]
        columns = labels[:, [number, *others]].astype(np.float64)
        design = np.column_stack([np.ones(len(standardized)), columns])
        ridge = 1e-6 * len(standardized) * np.eye(design.shape[1])
        rows.append(np.linalg.solve(design.T @ design + ridge, design.T @ standardized)[1])
    return np.stack(rows)


def orthogonalize(rows: npt.NDArray[np.float64], apart: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return rows (40, I) orthogonal to those in `apart` (other than themselves).

    The scores of the attributes in `apart` then do not change (Shen et al. 2020).
    """
    out = rows.copy()
    for number in range(len(rows)):
        basis = np.linalg.qr(rows[[other for other in apart if other != number]].T)[0]
        out[number] -= basis @ (basis.T @ rows[number])
    return out


def evaluate_directions(
    directions: IdentityDirections,
    identities: Array32,
    labels: npt.NDArray[np.bool_],
    apart: Sequence[str],
) -> dict[str, Any]:
    """Evaluate directions on held-out faces.

    Returns:
        Per attribute its AUC, its length and its cosine with the directions in `apart`.
    """
    scores = directions.scores(identities)
    unit = directions.rows / np.maximum(
        np.linalg.norm(directions.rows, axis=1, keepdims=True), 1e-12
    )
    areas = {name: round(roc_auc(scores[:, n], labels[:, n]), 4) for n, name in enumerate(CELEBA)}
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
