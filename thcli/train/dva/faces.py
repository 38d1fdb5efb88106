"""Training data of dva-s: labelled images and frames of clips with landmarks and identities.

FOLDER is as in `evaluate.datasets.labelled_images`, with optional FOLDER/clips/NAME/*.jpg: frames
of one clip, with any framing. FOLDER/points.npz stores the landmarks and identity-s vectors by file
name; it is created on first use.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from thcli import media
from thcli.core.errors import MediaError
from thcli.core.events import Finished, Listener, Started, Step
from thcli.core.options import FaceOptions, RunOptions, TrainOptions
from thcli.core.types import Array32, Image
from thcli.editors.dva.small import face_oval_mask, normalize_landmarks
from thcli.editors.shared.celeba import CELEBA
from thcli.evaluate.datasets.labelled_images import read_labelled_folder
from thcli.evaluate.datasets.sample_clip import astronaut_clip
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.faces.identity.aligned_crop import aligned_crop
from thcli.faces.identity.small import load as load_identity
from thcli.faces.landmarks.topology import PAIRS, POINTS
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.train.data.batches import Batch
from thcli.train.data.disk_arrays import temporary_array

POINTS_FILE = "points.npz"
SAMPLE_STEP = 2**31 - 1  # step number of the sample batch
RARE = (
    "Eyeglasses",
    "Bald",
    "Gray_Hair",
    "Mustache",
    "Goatee",
    "Wearing_Hat",
    "Sideburns",
    "5_o_Clock_Shadow",
    "Pale_Skin",
)
RARE_WEIGHT = 1.5  # added to the sampling weight of 1 of an image with one of them
CLIP_SHARE = 0.2  # share of the items that are frames of clips, where there are clips


@dataclass(frozen=True, slots=True)
class LocatedFaces:
    """Faces of N images.

    names: relative to the folder. points: (N, 468, 3) pixels. identities: (N, 512) of identity-s.
    """

    names: tuple[str, ...]
    points: npt.NDArray[np.float16]
    identities: npt.NDArray[np.float16]


def locate_faces(folder: Path, names: Sequence[str], run: RunOptions, on: Listener) -> LocatedFaces:
    """Return the faces of these images, from the folder's points file or located now.

    New faces are added to the file. Images without a face are left out.

    Raises:
        MediaError: An image cannot be read, or no image shows a face.
        WeightsError: Weights of the tracker or of identity-s are missing.
    """
    path = folder / POINTS_FILE
    known = _load_points_file(path) if path.is_file() else {}
    missing = [name for name in names if name not in known]
    if missing:
        known |= _locate_new_faces(folder, missing, run, on)
        with_face = [(name, face) for name, face in known.items() if face is not None]
        if not with_face:
            raise MediaError(
                f"No face is found in the images of {folder}.", "Give images of faces."
            )
        np.savez(
            path,
            names=np.array([name for name, _ in with_face]),
            points=np.stack([face[0] for _, face in with_face]),
            identities=np.stack([face[1] for _, face in with_face]),
            empty=np.array([name for name, face in known.items() if face is None], np.str_),
        )
    located = [(name, face) for name in names if (face := known[name]) is not None]
    if not located:
        raise MediaError(
            f"No face is found in {len(names)} images of {folder}.", "Give more images."
        )
    return LocatedFaces(
        tuple(name for name, _ in located),
        np.stack([face[0] for _, face in located]),
        np.stack([face[1] for _, face in located]),
    )


_Face = tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]  # points and identity


def _load_points_file(path: Path) -> dict[str, _Face | None]:
    """Return the faces of an earlier run, None for images without one."""
    with np.load(path) as stored:
        faces: dict[str, _Face | None] = {
            name: (points, identity)
            for name, points, identity in zip(
                stored["names"].tolist(), stored["points"], stored["identities"], strict=True
            )
        }
        return faces | dict.fromkeys(stored["empty"].tolist() if "empty" in stored else ())


def _locate_new_faces(
    folder: Path, names: Sequence[str], run: RunOptions, on: Listener
) -> dict[str, _Face | None]:
    face_finder, encoder = FaceFinder.load(FaceOptions(), run), load_identity(run)
    out: dict[str, _Face | None] = dict.fromkeys(names)
    points, crops = dict[str, npt.NDArray[np.float16]](), []
    start = time.perf_counter()
    on(Started("find", len(names), "pictures"))
    for number, name in enumerate(names, 1):
        image = media.read_image(folder / name)
        faces = face_finder.find(image)
        face = (
            face_finder.refine_landmarks(image, max(faces, key=lambda one: one.area))
            if faces
            else None
        )
        if face is not None and face.mesh is not None:
            points[name] = face.mesh.astype(np.float16)
            crops.append(aligned_crop(image, face))
        on(Step("find", number))
    on(Finished("find", len(points), time.perf_counter() - start))
    if crops:
        vectors = encoder.encode_crops(crops)
        for (name, mesh), identity in zip(points.items(), vectors, strict=True):
            out[name] = mesh, identity.astype(np.float16)
    return out


class DvaFaces:
    """Batches of faces; every item follows from (seed, step, index) alone.

    target, reference: (B, 3, S, S) in [-1, 1]. landmarks: (B, 136). identity: (B, 512).
    labels, known: (B, 40) and (B,). mask: (B, 1, S, S).
    reference: the image that the appearance code z_look is read from; it is the target moved
    slightly, or another frame of the clip. known: 1 where the labels are known.
    """

    def __init__(
        self,
        folder: Path,
        persons: Sequence[int],
        size: int,
        batch: int,
        options: TrainOptions,
        on: Listener,
    ) -> None:
        """Open the dataset.

        Raises:
            MediaError: The folder is not such a dataset.
            OutputError: The crops do not fit into TMPDIR.
        """
        self._batch, self._options, self._size = batch, options, size
        images = read_labelled_folder(folder).of_persons(persons)
        named = {str(path.relative_to(folder)): row for row, path in enumerate(images.paths)}
        frames = sorted(str(path.relative_to(folder)) for path in folder.glob("clips/*/*.jpg"))
        faces = locate_faces(
            folder,
            [*named, *frames],
            RunOptions(offline=options.offline, threads=options.threads),
            on,
        )
        no_labels = np.zeros(len(CELEBA), np.bool_)
        self._labels = np.array(
            [images.labels[named[n]] if n in named else no_labels for n in faces.names]
        )
        self._known = np.array([name in named for name in faces.names])
        folders = [str(Path(name).parent) for name in faces.names]
        self._references = same_clip_rows(folders, ~self._known)
        self._identities = faces.identities
        self._crops = temporary_array((len(faces.names), size, size, 3))
        self._points = np.empty((len(faces.names), POINTS, 2), np.float32)
        for row, name in enumerate(faces.names):
            points = faces.points[row].astype(np.float64)
            placement = align.ffhq(points, size)
            self._crops[row] = crop(media.read_image(folder / name), placement)
            matrix = placement.crop_from_frame
            self._points[row] = points[:, :2] @ matrix[:2, :2].T + matrix[:2, 2]
        landmarks = np.stack([normalize_landmarks(points, size) for points in self._points])
        self.middle: Array32 = landmarks.mean(0)
        self.spread = float((landmarks - self.middle).std())
        self._probabilities = self._weights()
        self.fingerprint = hashlib.sha256(
            "\n".join(faces.names).encode() + self._points.tobytes()
        ).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._points)

    def _weights(self) -> npt.NDArray[np.float64]:
        """Return the sampling probability of each image."""
        rare = self._labels[:, [CELEBA.index(name) for name in RARE]].any(1)
        weights = np.where(self._known, 1.0 + RARE_WEIGHT * rare, 0.0)
        weights /= weights.sum()
        if not self._known.all():
            weights = (1 - CLIP_SHARE) * weights + CLIP_SHARE * ~self._known / (~self._known).sum()
        return weights

    def batch(self, step: int) -> Batch:
        """Return the batch of an update."""
        rng = np.random.default_rng([self._options.seed, step, 5])
        rows = rng.choice(len(self), self._batch, p=self._probabilities)
        return self._items(rows, rng, self._options.flip)

    def sample_batch(self) -> Batch:
        """Return the fixed items of the sample sheets."""
        rng = np.random.default_rng([self._options.seed, SAMPLE_STEP])
        return self._items(np.linspace(0, len(self) - 1, 16).astype(int), rng, False)

    def close(self) -> None:
        """Let the crops on disk go."""
        del self._crops

    def _items(self, rows: npt.NDArray[Any], rng: np.random.Generator, flip: bool) -> Batch:
        size, jitter = self._size, self._options.jitter
        target, reference = np.empty((2, len(rows), size, size, 3), np.uint8)
        mask = np.empty((len(rows), size, size), np.uint8)
        landmarks = np.empty((len(rows), 136), np.float32)
        gains = np.exp(rng.normal(0, jitter, (len(rows), 1, 1, 1))) * np.exp(
            rng.normal(0, jitter / 4, (len(rows), 3, 1, 1))
        )
        offsets = rng.normal(0, jitter / 2, (len(rows), 1, 1, 1))
        for index, row in enumerate(rows):
            mirrored = flip and bool(rng.random() < 0.5)
            other = rng.choice(self._references[row])
            matrix = random_similarity(rng, size, 0.02, 0.02, 1.0, mirrored)
            target[index] = warp_image(self._crops[row], matrix)
            other_matrix = random_similarity(rng, size, 0.05, 0.05, 2.5, mirrored)
            reference[index] = warp_image(self._crops[other], other_matrix)
            points = self._points[row] @ matrix[:, :2].T + matrix[:, 2]
            points = points[PAIRS] if mirrored else points
            landmarks[index] = normalize_landmarks(points, size)
            mask[index] = face_oval_mask(points, size)
        pair = []
        for pixels in (target, reference):
            planes = pixels.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
            pair.append(
                torch.from_numpy(np.clip(planes * gains + offsets, -1, 1).astype(np.float32))
            )
        return {
            "target": pair[0],
            "reference": pair[1],
            "landmarks": torch.from_numpy(landmarks),
            "identity": torch.from_numpy(self._identities[rows].astype(np.float32)),
            "labels": torch.from_numpy(self._labels[rows]).float(),
            "known": torch.from_numpy(self._known[rows]).float(),
            "mask": torch.from_numpy(mask)[:, None].float(),
        }


def same_clip_rows(
    folders: Sequence[str], frames: npt.NDArray[np.bool_]
) -> list[npt.NDArray[np.int64]]:
    """Return for each image the rows of its clip; for an image that is not a frame its own row.

    Args:
        folders: Folder of each image.
        frames: True for frames of clips.
    """
    clips: dict[str, list[int]] = {}
    for row in np.flatnonzero(frames):
        clips.setdefault(folders[int(row)], []).append(int(row))
    return [
        np.array(clips[folder] if frames[row] else [row], np.int64)
        for row, folder in enumerate(folders)
    ]


def write_synthetic_faces(folder: Path) -> None:
    """Write synthetic training data: recoloured photographs with random labels, and a clip."""
    for name in ("images", "clips/one"):
        (folder / name).mkdir(parents=True)
    rows, people = [], []
    for frame in astronaut_clip(9, 128):
        image = frame.pixels[..., (2, 1, 0)]
        if frame.index >= 6:
            path = folder / "clips" / "one" / f"{frame.index}.jpg"
        else:
            image = image[:, ::-1, (1, 2, 0)] if frame.index % 2 else image
            path = folder / "images" / f"{frame.index}.jpg"
            labels = np.random.default_rng([7, frame.index]).random(len(CELEBA)) < 0.3
            rows.append(f"{path.name} " + " ".join("1" if yes else "-1" for yes in labels))
            people.append(f"{path.name} {frame.index}")
        path.write_bytes(cv2.imencode(".jpg", np.ascontiguousarray(image))[1].tobytes())
    head = f"{len(rows)}\n{' '.join(CELEBA)}\n"
    (folder / "attributes.txt").write_text(head + "\n".join(rows) + "\n", "utf-8")
    (folder / "identities.txt").write_text("\n".join(people) + "\n", "utf-8")


def random_similarity(
    rng: np.random.Generator,
    size: int,
    angle_std: float,
    scale_std: float,
    shift_std: float,
    mirrored: bool,
) -> npt.NDArray[np.float64]:
    """Draw a (2, 3) matrix that rotates, scales, shifts and optionally mirrors a square image.

    Args:
        rng: Source of the random numbers.
        size: Side of the image in pixels.
        angle_std: Radians.
        scale_std: Of the logarithm of the scale.
        shift_std: Pixels of an image of 96.
        mirrored: Mirror the image.
    """
    angle, scale = rng.normal(0, angle_std), np.exp(rng.normal(0, scale_std))
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirrored:
        matrix[:, 0] *= -1
    centre = np.full(2, (size - 1) / 2)
    shift = rng.normal(0, shift_std * size / 96, 2)
    return np.column_stack([matrix, centre - matrix @ centre + shift])


def warp_image(image: Image, matrix: npt.NDArray[np.float64]) -> Image:
    """Warp an image with its border replicated."""
    side = image.shape[0]
    return np.asarray(
        cv2.warpAffine(
            image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    )
