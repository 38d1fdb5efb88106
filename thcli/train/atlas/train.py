"""`thcli train atlas`: directions of shape and texture from labelled faces, and of smiling from pairs of pictures of the same persons."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.errors import MediaError, OutputError, UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import AtlasTrainOptions
from thcli.core.types import Array32
from thcli.editors.atlas.directions import Directions, joined, packed, whole
from thcli.editors.shared.celeba import CELEBA
from thcli.evaluate.datasets.labelled_images import Labelled, digits_of, labelled
from thcli.evaluate.datasets.test_clip import astronaut_clip
from thcli.media.failures import unwritable
from thcli.train.atlas.build import built, differences
from thcli.train.atlas.store import Tools, gathered

RARE = (
    "Mustache",
    "Goatee",
    "Pale_Skin",
    "Double_Chin",
    "Chubby",
    "Rosy_Cheeks",
    "Gray_Hair",
    "Bald",
    "5_o_Clock_Shadow",
    "Eyeglasses",
)
RARE_SHARE = 0.65  # of the pictures at most have one of RARE
NAME = "atlas.safetensors"
DEFAULT = AtlasTrainOptions()


def train(
    folder: Path | None, run: Path, options: AtlasTrainOptions = DEFAULT, on: Listener = silent
) -> dict[str, Any]:
    """Measures pictures and makes RUN/atlas.safetensors; returns the report of `--json`.

    folder: pictures with CelebA's labels (`evaluate.datasets.labelled_images`), or with index.csv (file, person, expression: neutral or smiling) as
    the London set has it, which teaches smiling alone.  options.smiles: such a set whose smile takes the other's place.
    Raises UsageError, MediaError for the folder, WeightsError for the tracker or the parser, OutputError.
    """
    began = time.monotonic()
    _claim(run, options)
    if options.smoke:
        folder = run / "trial"
        trial_faces(folder)
    elif folder is None:
        raise UsageError(
            "There is no folder of faces to learn from.", "Give one (docs/editing.md), or --smoke."
        )
    made: Directions | None = None
    count = 0
    if (folder / "attributes.txt").is_file():
        faces = _chosen(labelled(folder).only(digits_of(options.persons)), options)
        rows, angles, kept = gathered(faces.paths, run / "measured", _tools(options, True), on)
        made, count = built(rows, faces.labels[kept], angles), len(rows)
    smiles = Path(options.smiles) if options.smiles else (None if made else folder)
    if smiles is not None:
        smiling, pairs = _smile(smiles, run, options, on)
        made, count = (smiling if made is None else joined(made, smiling)), count + 2 * pairs
    assert made is not None
    path = run / NAME
    _write(made, path)
    return {
        "command": "train atlas",
        "output": str(path),
        "run": str(run),
        "pictures": count,
        "attributes": list(made.names),
        "bytes": path.stat().st_size,
        "seconds": round(time.monotonic() - began, 3),
    }


def _tools(options: AtlasTrainOptions, hidden: bool) -> Callable[[], Tools]:
    return lambda: Tools.load(options.run, hidden)


def _chosen(faces: Labelled, options: AtlasTrainOptions) -> Labelled:
    """So many pictures, with those that show something rare first; the regression does not mind which labels come how often."""
    dice = np.random.default_rng(0)
    rare = faces.labels[:, [CELEBA.index(name) for name in RARE]].any(1)
    first = dice.permutation(np.flatnonzero(rare))[: round(RARE_SHARE * options.pictures)]
    rest = dice.permutation(np.flatnonzero(~rare))[: max(options.pictures - len(first), 0)]
    return faces.at(np.sort(np.concatenate([first, rest])))


def _smile(
    folder: Path, run: Path, options: AtlasTrainOptions, on: Listener
) -> tuple[Directions, int]:
    """The smile of a folder of pairs, and how many pairs there were."""
    pairs = _pairs(folder)
    paths = [path for pair in pairs for path in pair]
    rows, _, kept = gathered(paths, run / "smiles", _tools(options, False), on)
    where = {int(number): place for place, number in enumerate(kept)}
    both = [
        (where[2 * i], where[2 * i + 1])
        for i in range(len(pairs))
        if 2 * i in where and 2 * i + 1 in where
    ]
    if not both:
        raise MediaError(
            f"No person of {folder} is seen in both pictures.", "Give portraits from the front."
        )
    return differences(rows, "smiling", both), len(both)


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    """(neutral, smiling) pictures of index.csv. Raises MediaError."""
    table = folder / "index.csv"
    if not table.is_file():
        raise MediaError(
            f"{folder} has neither attributes.txt nor index.csv.",
            "docs/editing.md says what a folder of faces has.",
        )
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or not {"file", "person", "expression"} <= rows[0].keys():
        raise MediaError(f"{table} has no columns file, person and expression.")
    found = {(row["person"], row["expression"]): folder / row["file"] for row in rows}
    people = dict.fromkeys(row["person"] for row in rows)
    pairs = [
        (found[p, "neutral"], found[p, "smiling"])
        for p in people
        if {(p, "neutral"), (p, "smiling")} <= found.keys()
    ]
    if not pairs:
        raise MediaError(f"{table} names nobody with a neutral and a smiling picture.")
    return pairs


def _claim(run: Path, options: AtlasTrainOptions) -> None:
    """Raises OutputError when the run folder is in use and neither --resume nor --overwrite is given, or cannot be written."""
    used = run.is_file() or (run.is_dir() and any(run.iterdir()))
    if used and not (options.resume or options.overwrite):
        raise OutputError(
            f"{run} is in use.", "Give --resume to go on, --overwrite to begin anew, or another -o."
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
        if options.overwrite:
            for state in run.glob("*/state.npy"):
                state.unlink()
    except OSError as exc:
        raise unwritable(run, exc) from exc


def _write(made: Directions, path: Path) -> None:
    """The file, and a sheet of what each direction does to colours."""
    from safetensors.numpy import save

    partial = path.with_suffix(".partial")
    try:
        partial.write_bytes(save(packed(made), {"thcli": "atlas"}))
        partial.replace(path)
        cv2.imwrite(str(path.with_name("directions.png")), _sheet(made)[..., ::-1])
    except OSError as exc:
        raise unwritable(path, exc) from exc


def _sheet(made: Directions) -> npt.NDArray[np.uint8]:
    """Each direction's texture on grey, with its name."""
    tiles = []
    for k, name in enumerate(made.names):
        texture: Array32 = whole(made.texture[k] * made.texture_scale[k])
        tile = np.clip(128 + texture * 320, 0, 255).astype(np.uint8)
        tiles.append(
            cv2.putText(
                np.ascontiguousarray(tile),
                name,
                (3, 11),
                cv2.FONT_HERSHEY_SIMPLEX,
                0.35,
                (255, 255, 255),
            )
        )
    across = min(len(tiles), 6)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % across)
    return np.vstack(
        [np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)]
    ).astype(np.uint8)


def trial_faces(folder: Path, count: int = 12) -> None:
    """What --smoke learns from: the astronaut's head in several poses, with labels by chance."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(3)
    lines = []
    for number, frame in enumerate(astronaut_clip(count * 6, 256)):
        if number % 6:
            continue
        cv2.imwrite(
            str(folder / "images" / f"{number}.png"), np.asarray(frame.pixels, np.uint8)[..., ::-1]
        )
        lines.append(
            f"{number}.png "
            + " ".join("1" if yes else "-1" for yes in dice.random(len(CELEBA)) < 0.5)
        )
    (folder / "attributes.txt").write_text(
        f"{len(lines)}\n{' '.join(CELEBA)}\n" + "\n".join(lines) + "\n", "utf-8"
    )
    (folder / "identities.txt").write_text(
        "".join(f"{line.split()[0]} 0\n" for line in lines), "utf-8"
    )
