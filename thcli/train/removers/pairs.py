"""Pairs of unrolled faces with and without an attribute, painted once and stored.

Bare faces are those whose labels deny glasses, facial hair and make-up. Faces that wear glasses or
a beard are stored too: their texture is laid over bare ones (`batches`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import MediaError
from thcli.core.events import Listener
from thcli.core.geometry import angles_from_matrix
from thcli.core.types import Face, Image
from thcli.editors.atlas.removers.parts import PARTS, SEEN, PartName, code_texture, unroll_face
from thcli.editors.shared.celeba import CELEBA
from thcli.evaluate.datasets.labelled_images import LabelledImages
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, transform_face
from thcli.faces.parsing import group_probability
from thcli.motion.canonical import decompose
from thcli.train.data.face_tools import FaceTools
from thcli.train.data.image_tables import ImageTables, Layout
from thcli.train.removers.paint import VARIANTS, open_scene, paint_variant

SIDE = 512  # pixels of the painted crop
_PARSED = SIDE // 2  # pixels of the parser's crop
MAX_PITCH, MAX_YAW = 22.0, 25.0  # degrees
STAGE = "paint"
BARE, GLASSES, BEARDED = 0, 1, 2  # kinds of faces
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
    """Select up to `count` bare faces, a third as many with glasses and half as many with beards.

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
        (BEARDED, bearded, count // 2),
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
    listed = [[path.name, kind] for path, kind in zip(images.paths, kinds, strict=True)]
    tables = ImageTables.open(listed, _layout(), folder)

    def load() -> Callable[[int], bool]:
        loaded = tools()
        return lambda row: _store(images.paths[row], kinds[row], row, tables.values, loaded)

    rows = tables.fill(STAGE, load, on)
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
        {part: tables.values[part][rows] for part in parts},
        {part: tables.values[f"{part}-weight"][rows] for part in parts},
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


def _layout() -> Layout:
    """Return the shapes of a face's row in each table."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, part in PARTS.items():
        shapes[name] = (1 + len(VARIANTS[name]), part.height, part.width, 3)
        shapes[f"{name}-weight"] = (part.height, part.width)
    return {name: (shape, np.uint8) for name, shape in shapes.items()}
