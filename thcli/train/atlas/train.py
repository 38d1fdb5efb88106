"""`thcli train atlas`: directions of shape and texture from labelled faces and pairs of smiles."""

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
from thcli.core.text_files import read_csv
from thcli.core.types import Array32
from thcli.editors.atlas.directions import (
    AtlasDirections,
    merge_directions,
    mirror,
    pack_directions,
)
from thcli.editors.shared.celeba import CELEBA
from thcli.evaluate.datasets.labelled_images import (
    LabelledImages,
    parse_digits,
    read_labelled_folder,
)
from thcli.evaluate.datasets.sample_clip import astronaut_clip
from thcli.media.failures import to_output_error
from thcli.train.atlas.build import build_directions, directions_from_pairs
from thcli.train.atlas.store import measure_faces
from thcli.train.data.face_tools import FaceTools

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
RARE_SHARE = 0.65  # largest share of the images with one of RARE
NAME = "atlas.safetensors"
DEFAULT = AtlasTrainOptions()


def train_atlas(
    folder: Path | None, run: Path, options: AtlasTrainOptions = DEFAULT, on: Listener = silent
) -> dict[str, Any]:
    """Measure images and write RUN/atlas.safetensors.

    Args:
        folder: Images with CelebA's labels (`evaluate.datasets.labelled_images`); or with index.csv
            (file, person, expression: neutral or smiling), which gives the smile alone. None only
            with options.smoke.
        run: Folder of the result.
        options: Options of the command. options.smiles: a folder of the second kind, whose smile
            replaces that of the labels.
        on: Listener for progress.

    Returns:
        The report of `--json`.

    Raises:
        UsageError: There is no folder.
        MediaError: The folder is not such a dataset.
        WeightsError: Weights of the tracker or of the parser are missing.
        OutputError: The run folder is in use or cannot be written.
    """
    start = time.monotonic()
    if folder is None and not options.smoke:
        raise UsageError(
            "There is no folder of faces.", "Give one (see docs/editing.md), or --smoke."
        )
    _prepare_run_folder(run, options)
    if options.smoke or folder is None:
        folder = run / "trial"
        write_synthetic_faces(folder)
    directions: AtlasDirections | None = None
    count = 0
    if (folder / "attributes.txt").is_file():
        images = read_labelled_folder(folder).of_persons(parse_digits(options.persons))
        images = select_images(images, options)
        faces, angles, rows = measure_faces(
            images.paths, run / "measured", _tools(options, True), on
        )
        directions, count = build_directions(faces, images.labels[rows], angles), len(faces)
    smiles = Path(options.smiles) if options.smiles else (None if directions else folder)
    if smiles is not None:
        smile, pairs = _smile(smiles, run, options, on)
        directions = smile if directions is None else merge_directions(directions, smile)
        count += 2 * pairs
    assert directions is not None
    path = run / NAME
    _write(directions, path)
    return {
        "command": "train atlas",
        "output": str(path),
        "run": str(run),
        "pictures": count,
        "attributes": list(directions.names),
        "bytes": path.stat().st_size,
        "seconds": round(time.monotonic() - start, 3),
    }


def _tools(options: AtlasTrainOptions, hidden: bool) -> Callable[[], FaceTools]:
    return lambda: FaceTools.load(options.run, hidden)


def select_images(images: LabelledImages, options: AtlasTrainOptions) -> LabelledImages:
    """Select options.pictures images, those with rare attributes first.

    The regression does not depend on the frequency of the labels.
    """
    rng = np.random.default_rng(0)
    rare = images.labels[:, [CELEBA.index(name) for name in RARE]].any(1)
    first = rng.permutation(np.flatnonzero(rare))[: round(RARE_SHARE * options.pictures)]
    rest = rng.permutation(np.flatnonzero(~rare))[: max(options.pictures - len(first), 0)]
    return images.at(np.sort(np.concatenate([first, rest])))


def _smile(
    folder: Path, run: Path, options: AtlasTrainOptions, on: Listener
) -> tuple[AtlasDirections, int]:
    """Return the smile direction of a folder of pairs, and the number of pairs."""
    pairs = _pairs(folder)
    paths = [path for pair in pairs for path in pair]
    faces, _, measured = measure_faces(paths, run / "smiles", _tools(options, False), on)
    row_of = {int(number): row for row, number in enumerate(measured)}
    both = [
        (row_of[2 * i], row_of[2 * i + 1])
        for i in range(len(pairs))
        if 2 * i in row_of and 2 * i + 1 in row_of
    ]
    if not both:
        raise MediaError(
            f"No person of {folder} has a usable face in both images.",
            "Give portraits from the front.",
        )
    return directions_from_pairs(faces, "smiling", both), len(both)


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Return the (neutral, smiling) images of index.csv.

    Raises:
        MediaError: The file is missing or has no such pairs.
    """
    table = folder / "index.csv"
    if not table.is_file():
        raise MediaError(
            f"{folder} has neither attributes.txt nor index.csv.",
            "See docs/editing.md for the contents of a folder of faces.",
        )
    try:
        rows = list(read_csv(table))
    except (OSError, ValueError, csv.Error) as exc:
        raise MediaError(f"{table} cannot be read: {exc}.") from exc
    columns = ("file", "person", "expression")
    if not rows or any(row.get(column) is None for row in rows for column in columns):
        raise MediaError(f"{table} has no columns file, person and expression.")
    found = {(row["person"], row["expression"]): folder / row["file"] for row in rows}
    people = dict.fromkeys(row["person"] for row in rows)
    pairs = [
        (found[p, "neutral"], found[p, "smiling"])
        for p in people
        if {(p, "neutral"), (p, "smiling")} <= found.keys()
    ]
    if not pairs:
        raise MediaError(f"{table} has no person with a neutral and a smiling image.")
    return pairs


def _prepare_run_folder(run: Path, options: AtlasTrainOptions) -> None:
    """Create the run folder.

    Raises:
        OutputError: It is in use without --resume or --overwrite, or cannot be written.
    """
    used = run.is_file() or (run.is_dir() and any(run.iterdir()))
    if used and not (options.resume or options.overwrite):
        raise OutputError(
            f"{run} is in use.",
            "Give --resume to continue, --overwrite to start again, or another -o.",
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
        if options.overwrite:
            for state in run.glob("*/state.npy"):
                state.unlink()
    except OSError as exc:
        raise to_output_error(run, exc) from exc


def _write(directions: AtlasDirections, path: Path) -> None:
    """Write the directions, and a sheet of their texture changes."""
    from safetensors.numpy import save

    partial = path.with_suffix(".partial")
    try:
        partial.write_bytes(save(pack_directions(directions), {"thcli": "atlas"}))
        partial.replace(path)
        cv2.imwrite(str(path.with_name("directions.png")), _sheet(directions)[..., ::-1])
    except OSError as exc:
        raise to_output_error(path, exc) from exc


def _sheet(directions: AtlasDirections) -> npt.NDArray[np.uint8]:
    """Return a sheet of all directions' textures on grey, with names."""
    tiles = []
    for k, name in enumerate(directions.names):
        texture: Array32 = mirror(directions.texture[k] * directions.texture_scale[k])
        tile = np.ascontiguousarray(np.clip(128 + texture * 320, 0, 255).astype(np.uint8))
        white = (255, 255, 255)
        tiles.append(cv2.putText(tile, name, (3, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.35, white))
    columns = min(len(tiles), 6)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.vstack(rows).astype(np.uint8)


def write_synthetic_faces(folder: Path, count: int = 12, *, bare: bool = False) -> None:
    """Write synthetic training data: a photographed head in several poses with random labels.

    With `bare` every second image denies all labels, as an unadorned face does.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    lines: list[str] = []
    for number, frame in enumerate(astronaut_clip(count * 6, 256)):
        if number % 6:
            continue
        name = f"{number}.png"
        cv2.imwrite(str(folder / "images" / name), np.asarray(frame.pixels, np.uint8)[..., ::-1])
        labels = rng.random(len(CELEBA)) < 0.5
        if bare and len(lines) % 2 == 0:
            labels = np.array([label == "No_Beard" for label in CELEBA])
        values = " ".join("1" if value else "-1" for value in labels)
        lines.append(f"{name} {values}")
    (folder / "attributes.txt").write_text(
        f"{len(lines)}\n{' '.join(CELEBA)}\n" + "\n".join(lines) + "\n", "utf-8"
    )
    (folder / "identities.txt").write_text(
        "".join(f"{line.split()[0]} 0\n" for line in lines), "utf-8"
    )
