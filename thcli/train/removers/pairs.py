"""Pairs of unrolled faces with and without an attribute, painted once and stored.

Bare faces are those whose labels deny glasses, facial hair and make-up. Faces that wear glasses or
a beard are stored too: their texture is laid over bare ones (`batches`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import MediaError
from thcli.core.events import Finished, Listener, Started, Step
from thcli.core.geometry import angles_from_matrix
from thcli.core.types import Face, Image
from thcli.editors.atlas.removers.parts import PARTS, SEEN, PartName, code_texture, unroll_face
from thcli.editors.shared.celeba import CELEBA
from thcli.evaluate.datasets.labelled_images import LabelledImages
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, transform_face
from thcli.faces.parsing import group_probability
from thcli.media.failures import to_output_error
from thcli.motion.canonical import decompose
from thcli.train.atlas.store import FaceTools
from thcli.train.removers.paint import VARIANTS, open_scene, paint_variant

SIDE = 512  # pixels of the painted crop
_PARSED = SIDE // 2  # pixels of the parser's crop
MAX_PITCH, MAX_YAW = 22.0, 25.0  # degrees
STAGE = "paint"
BARE, GLASSES, BEARDED = 0, 1, 2  # kinds of faces
_PENDING, _DONE, _REJECTED = 0, 1, 2
_FLUSH_INTERVAL = 50  # images between writes of the states
_DENIED = (
    "Eyeglasses",
    "Mustache",
    "Goatee",
    "Sideburns",
    "5_o_Clock_Shadow",
    "Heavy_Makeup",
    "Wearing_Lipstick",
    "Wearing_Hat",
    "Blurry",
)


@dataclass(frozen=True, slots=True)
class StoredPairs:
    """Stored textures of N faces.

    kinds: (N,) BARE, GLASSES or BEARDED.
    textures: part -> (N, 1 + variants, height, width, 3) uint8; the first is the face itself. Only
    bare faces have variants.
    weights: part -> (N, height, width) uint8 visibility.
    names: file names.
    """

    kinds: npt.NDArray[np.uint8]
    textures: dict[PartName, npt.NDArray[np.uint8]]
    weights: dict[PartName, npt.NDArray[np.uint8]]
    names: tuple[str, ...]

    def rows(self, kind: int) -> npt.NDArray[np.int64]:
        """Return the indices of the faces of a kind."""
        return np.flatnonzero(self.kinds == kind)


def select_faces(images: LabelledImages, count: int) -> tuple[LabelledImages, list[int]]:
    """Select up to `count` bare faces, and a third as many of each kind of wearer.

    Returns the images and their kinds, mixed so that any beginning holds all kinds.
    """

    def column(name: str) -> npt.NDArray[np.bool_]:
        return np.asarray(images.labels[:, CELEBA.index(name)])

    bare = column("No_Beard") & ~np.any([column(name) for name in _DENIED], 0)
    glasses = column("Eyeglasses")
    bearded = ~column("No_Beard") & ~column("Eyeglasses")
    rng = np.random.default_rng(0)
    keys, rows, kinds = [], [], []
    for kind, chosen, most in (
        (BARE, bare, count),
        (GLASSES, glasses, count // 3),
        (BEARDED, bearded, count // 3),
    ):
        found = rng.permutation(np.flatnonzero(chosen))[:most]
        keys += list(np.linspace(0, 1, len(found)))
        rows += found.tolist()
        kinds += [kind] * len(found)
    order = np.argsort(keys, kind="stable")
    return images.at(np.array(rows)[order]), [kinds[i] for i in order]


def store_pairs(
    images: LabelledImages,
    kinds: list[int],
    folder: Path,
    tools: Callable[[], FaceTools],
    on: Listener,
) -> StoredPairs:
    """Unroll and paint images; those of an earlier run are not painted again.

    Args:
        images: Faces.
        kinds: Kind of each.
        folder: Storage, 500 kB per image.
        tools: Loads the tracker and the parser; called only when an image is missing.
        on: Listener for progress.

    Raises:
        MediaError: No bare face is usable, or an image cannot be read.
        OutputError: The folder cannot be written.
    """
    tables, state = _open_tables(images, kinds, folder)
    pending = np.flatnonzero(state == _PENDING)
    if len(pending):
        start = time.monotonic()
        on(Started(STAGE, len(pending), "pictures"))
        loaded = tools()
        for done, row in enumerate(pending.tolist(), 1):
            usable = _store(images.paths[row], kinds[row], row, tables, loaded)
            state[row] = _DONE if usable else _REJECTED
            if done % _FLUSH_INTERVAL == 0 or done == len(pending):
                _flush(tables, state, folder)
                on(Step(STAGE, done))
        on(Finished(STAGE, len(pending), time.monotonic() - start))
    rows = np.flatnonzero(state == _DONE)
    own = np.array(kinds, np.uint8)[rows]
    if not (own == BARE).any():
        raise MediaError(
            "None of the images shows a bare face near the front.",
            "Give portraits with CelebA's labels, some without glasses, beard and make-up.",
        )
    names = tuple(images.paths[row].name for row in rows)
    parts: tuple[PartName, ...] = ("eyes", "lower")
    return StoredPairs(
        own,
        {part: tables[part][rows] for part in parts},
        {part: tables[f"{part}-weight"][rows] for part in parts},
        names,
    )


def _store(
    path: Path, kind: int, row: int, tables: dict[str, npt.NDArray[Any]], tools: FaceTools
) -> bool:
    """Unroll and paint one image into its row; return False when it shows no usable face."""
    image = media.read_image(path)
    mesh = tools.mesh(image)
    if mesh is None:
        return False
    angles = angles_from_matrix(decompose(mesh).rotation)
    if abs(angles[0]) > MAX_PITCH or abs(angles[1]) > MAX_YAW:
        return False
    placement = align.ffhq(mesh, SIDE)
    pixels = np.asarray(crop(image, placement), np.uint8)
    face = Face(np.zeros(4, np.float32), 1.0, mesh=np.asarray(mesh, np.float32))
    face = transform_face(face, placement.crop_from_frame)
    assert face.mesh is not None and tools.parser is not None
    points = face.mesh.astype(np.float64)
    small = cv2.resize(pixels, (_PARSED, _PARSED), interpolation=cv2.INTER_AREA)
    halved = transform_face(face, np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]]))
    regions = tools.parser.parse([np.asarray(small, np.uint8)], [halved])[0]
    seen = np.ascontiguousarray(group_probability(regions, SEEN))
    texture, weight = unroll_face(pixels, points, seen)
    rng = np.random.default_rng([11, row])
    painted: dict[str, Image] = {}
    scene = open_scene(pixels, points, regions) if kind == BARE else None
    for name, part in PARTS.items():
        tables[name][row, 0] = code_texture(texture[part.window])
        tables[f"{name}-weight"][row] = np.rint(weight[part.window] * 255)
        if scene is None:
            continue
        for number, attribute in enumerate(VARIANTS[name], 1):
            if attribute != "makeup" or attribute not in painted:
                painted[attribute] = paint_variant(scene, attribute, rng)
            changed, _ = unroll_face(painted[attribute], points, seen)
            tables[name][row, number] = code_texture(changed[part.window])
    return True


def _open_tables(
    images: LabelledImages, kinds: list[int], folder: Path
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.uint8]]:
    """Open the tables and states; create them when the folder has none for these images."""
    names = json.dumps([[path.name, kind] for path, kind in zip(images.paths, kinds, strict=True)])
    listed, state = folder / "pictures.json", folder / "state.npy"
    known = listed.is_file() and state.is_file() and listed.read_text("utf-8") == names
    count = len(images)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, part in PARTS.items():
        shapes[name] = (count, 1 + len(VARIANTS[name]), part.height, part.width, 3)
        shapes[f"{name}-weight"] = (count, part.height, part.width)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tables: dict[str, npt.NDArray[Any]] = {
            name: np.lib.format.open_memmap(
                folder / f"{name}.npy", mode="r+" if known else "w+", dtype=np.uint8, shape=shape
            )
            for name, shape in shapes.items()
        }
        if not known:
            np.save(state, np.zeros(count, np.uint8))
            listed.write_text(names, "utf-8")
    except OSError as exc:
        raise to_output_error(folder, exc) from exc
    cv2.setNumThreads(1)
    return tables, np.asarray(np.load(state), np.uint8)


def _flush(tables: dict[str, npt.NDArray[Any]], state: npt.NDArray[np.uint8], folder: Path) -> None:
    try:
        for table in tables.values():
            getattr(table, "flush")()  # noqa: B009  # a memory map, typed as an array
        np.save(folder / "state.npy", state)
    except OSError as exc:
        raise to_output_error(folder, exc) from exc
