"""What dva-s learns from: labelled pictures and frames of clips, found once, cut as FFHQ's, with their points and identities.

FOLDER as `evaluate.datasets.labelled_images` has it, and FOLDER/clips/NAME/*.jpg, where there are any: frames of one clip, in whatever cut. Where each
face lies, and who it is to identity-s, is kept in FOLDER/points.npz (names relative to FOLDER), made when it is first needed.
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

from thcli.core.errors import MediaError
from thcli.core.events import Finished, Listener, Started, Step
from thcli.core.options import FaceOptions, RunOptions, TrainOptions
from thcli.core.types import Array32, Image
from thcli.editors.dva.small import oval, shares
from thcli.editors.shared.celeba import CELEBA
from thcli.evaluate.datasets.labelled_images import labelled
from thcli.evaluate.datasets.test_clip import astronaut_clip
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.faces.identity.aligned import aligned
from thcli.faces.identity.small import load as load_identity
from thcli.faces.landmarks.topology import PAIRS, POINTS
from thcli.pipeline.sources.source_image import FaceFinder
from thcli.train.core.task import Batch

FILE = "points.npz"
FIXED = 2**31 - 1  # stands for the step of what sample pictures show
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
OFTENER = 1.5  # added to a picture's chance of 1 when it has one of them
FRAMES = 0.12  # part of the items that are frames of clips, where there are clips


@dataclass(frozen=True, slots=True)
class Found:
    """names: N pictures, relative to the folder.  points: (N, 468, 3) in their pixels.  identities: (N, 512) of identity-s."""

    names: tuple[str, ...]
    points: npt.NDArray[np.float16]
    identities: npt.NDArray[np.float16]


def found(folder: Path, names: Sequence[str], run: RunOptions, on: Listener) -> Found:
    """Where the faces of these pictures are: read from the folder's own file, or looked for and added to it.

    Pictures without a face are left out.  Raises MediaError for a picture that cannot be read, WeightsError.
    """
    path = folder / FILE
    known = _kept(path) if path.is_file() else {}
    missing = [name for name in names if name not in known]
    if missing:
        known |= _looked_for(folder, missing, run, on)
        with_face = [(name, face) for name, face in known.items() if face is not None]
        if not with_face:
            raise MediaError(
                f"No face is found in the pictures of {folder}.", "Give pictures of faces."
            )
        np.savez(
            path,
            names=np.array([name for name, _ in with_face]),
            points=np.stack([face[0] for _, face in with_face]),
            identities=np.stack([face[1] for _, face in with_face]),
            empty=np.array([name for name, face in known.items() if face is None], np.str_),
        )
    there = [(name, face) for name in names if (face := known[name]) is not None]
    if not there:
        raise MediaError(
            f"No face is found in {len(names)} pictures of {folder}.", "Give more of them."
        )
    return Found(
        tuple(name for name, _ in there),
        np.stack([face[0] for _, face in there]),
        np.stack([face[1] for _, face in there]),
    )


_Face = tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]  # points and identity


def _kept(path: Path) -> dict[str, _Face | None]:
    """What an earlier run found, None for pictures without a face."""
    with np.load(path) as kept:
        faces: dict[str, _Face | None] = {
            name: (points, identity)
            for name, points, identity in zip(
                kept["names"].tolist(), kept["points"], kept["identities"], strict=True
            )
        }
        return faces | dict.fromkeys(kept["empty"].tolist() if "empty" in kept else ())


def _looked_for(
    folder: Path, names: Sequence[str], run: RunOptions, on: Listener
) -> dict[str, _Face | None]:
    face_finder, encoder = FaceFinder.load(FaceOptions(), run), load_identity(run)
    out: dict[str, _Face | None] = dict.fromkeys(names)
    points, crops = dict[str, npt.NDArray[np.float16]](), []
    began = time.perf_counter()
    on(Started("find", len(names), "pictures"))
    for number, name in enumerate(names, 1):
        picture = read(folder / name)
        faces = face_finder.find(picture)
        face = face_finder.refined(picture, max(faces, key=lambda one: one.area)) if faces else None
        if face is not None and face.mesh is not None:
            points[name] = face.mesh.astype(np.float16)
            crops.append(aligned(picture, face))
        on(Step("find", number))
    on(Finished("find", len(points), time.perf_counter() - began))
    if crops:
        for (name, where), identity in zip(points.items(), encoder.vectors(crops), strict=True):
            out[name] = where, identity.astype(np.float16)
    return out


def read(path: Path) -> Image:
    """A picture, (H, W, 3) uint8 RGB. Raises MediaError when it cannot be read."""
    coded = np.frombuffer(path.read_bytes(), np.uint8) if path.is_file() else np.zeros(0, np.uint8)
    picture = cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB) if len(coded) else None
    if picture is None:
        raise MediaError(f"{path} is not a picture that can be read.")
    return np.asarray(picture, np.uint8)


class DvaFaces:
    """Batches with target, seen (B, 3, S, S) in [-1, 1]; landmarks (B, 136) and identity (B, 512); labels, known (B, 40); mask (B, 1, S, S).

    seen: the picture that z_look is read of: the same one moved a little, or another frame of the clip.  Every item follows from
    (seed, step, place) alone.
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
        """Raises MediaError for a folder that is no such set."""
        self._batch, self._options, self._size = batch, options, size
        pictures = labelled(folder).only(persons)
        named = {str(path.relative_to(folder)): row for row, path in enumerate(pictures.paths)}
        frames = sorted(str(path.relative_to(folder)) for path in folder.glob("clips/*/*.jpg"))
        faces = found(
            folder,
            [*named, *frames],
            RunOptions(offline=options.offline, threads=options.threads),
            on,
        )
        nothing = np.zeros(len(CELEBA), np.bool_)
        self._labels = np.array(
            [pictures.labels[named[n]] if n in named else nothing for n in faces.names]
        )
        self._known = np.array([name in named for name in faces.names])
        self._mates = mates([str(Path(name).parent) for name in faces.names], ~self._known)
        self._identities = faces.identities
        self._crops = np.empty((len(faces.names), size, size, 3), np.uint8)
        self._points = np.empty((len(faces.names), POINTS, 2), np.float32)
        for row, name in enumerate(faces.names):
            points = faces.points[row].astype(np.float64)
            where = align.ffhq(points, size)
            self._crops[row] = crop(read(folder / name), where)
            self._points[row] = (
                points[:, :2] @ where.crop_from_frame[:2, :2].T + where.crop_from_frame[:2, 2]
            )
        straight = np.stack([shares(points, size) for points in self._points])
        self.middle: Array32 = straight.mean(0)
        self.spread = float((straight - self.middle).std())
        self._chances = self._weights()
        self.fingerprint = hashlib.sha256(
            "\n".join(faces.names).encode() + self._points.tobytes()
        ).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._crops)

    def _weights(self) -> npt.NDArray[np.float64]:
        """How often each picture comes."""
        rare = self._labels[:, [CELEBA.index(name) for name in RARE]].any(1)
        weights = np.where(self._known, 1.0 + OFTENER * rare, 0.0)
        weights /= weights.sum()
        if not self._known.all():
            weights = (1 - FRAMES) * weights + FRAMES * ~self._known / (~self._known).sum()
        return weights

    def batch(self, step: int) -> Batch:
        """The batch of an update."""
        draw = np.random.default_rng([self._options.seed, step, 5])
        return self._items(
            draw.choice(len(self), self._batch, p=self._chances), draw, self._options.flip
        )

    def fixed(self) -> Batch:
        """The same few items every time, for sample pictures."""
        draw = np.random.default_rng([self._options.seed, FIXED])
        return self._items(np.linspace(0, len(self) - 1, 16).astype(int), draw, False)

    def close(self) -> None:
        """There is nothing to close: all is in memory."""

    def _items(self, rows: npt.NDArray[Any], draw: np.random.Generator, flip: bool) -> Batch:
        size, jitter = self._size, self._options.jitter
        target, seen = np.empty((2, len(rows), size, size, 3), np.uint8)
        mask = np.empty((len(rows), size, size), np.uint8)
        landmarks = np.empty((len(rows), 136), np.float32)
        gains = np.exp(draw.normal(0, jitter, (len(rows), 1, 1, 1))) * np.exp(
            draw.normal(0, jitter / 4, (len(rows), 3, 1, 1))
        )
        lifts = draw.normal(0, jitter / 2, (len(rows), 1, 1, 1))
        for place, row in enumerate(rows):
            mirrored = flip and bool(draw.random() < 0.5)
            other = draw.choice(self._mates[row])
            matrix = moved(draw, size, 0.02, 0.02, 1.0, mirrored)
            target[place] = warped(self._crops[row], matrix)
            seen[place] = warped(self._crops[other], moved(draw, size, 0.05, 0.05, 2.5, mirrored))
            points = self._points[row] @ matrix[:, :2].T + matrix[:, 2]
            points = points[PAIRS] if mirrored else points
            landmarks[place] = shares(points, size)
            mask[place] = oval(points, size)
        pair = []
        for pixels in (target, seen):
            planes = pixels.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
            pair.append(torch.from_numpy(np.clip(planes * gains + lifts, -1, 1).astype(np.float32)))
        return {
            "target": pair[0],
            "seen": pair[1],
            "landmarks": torch.from_numpy(landmarks),
            "identity": torch.from_numpy(self._identities[rows].astype(np.float32)),
            "labels": torch.from_numpy(self._labels[rows]).float(),
            "known": torch.from_numpy(self._known[rows]).float(),
            "mask": torch.from_numpy(mask)[:, None].float(),
        }


def mates(folders: Sequence[str], frames: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """For each picture those that show the same face as a clip goes on: frames of one folder; a picture that is no frame has itself."""
    clips: dict[str, list[int]] = {}
    for row in np.flatnonzero(frames):
        clips.setdefault(folders[int(row)], []).append(int(row))
    return [
        np.array(clips[folder] if frames[row] else [row], np.int64)
        for row, folder in enumerate(folders)
    ]


def astronaut_faces(folder: Path) -> None:
    """For a trial: the photograph that a dependency carries, in colours and mirrored, with made-up labels; and frames of a clip of it."""
    for name in ("images", "clips/one"):
        (folder / name).mkdir(parents=True)
    rows, people = [], []
    for frame in astronaut_clip(9, 128):
        picture = frame.pixels[..., (2, 1, 0)]
        if frame.index >= 6:
            path = folder / "clips" / "one" / f"{frame.index}.jpg"
        else:
            picture = picture[:, ::-1, (1, 2, 0)] if frame.index % 2 else picture
            path = folder / "images" / f"{frame.index}.jpg"
            labels = np.random.default_rng([7, frame.index]).random(len(CELEBA)) < 0.3
            rows.append(f"{path.name} " + " ".join("1" if yes else "-1" for yes in labels))
            people.append(f"{path.name} {frame.index}")
        path.write_bytes(cv2.imencode(".jpg", np.ascontiguousarray(picture))[1].tobytes())
    head = f"{len(rows)}\n{' '.join(CELEBA)}\n"
    (folder / "attributes.txt").write_text(head + "\n".join(rows) + "\n", "utf-8")
    (folder / "identities.txt").write_text("\n".join(people) + "\n", "utf-8")


def moved(
    draw: np.random.Generator, size: int, turn: float, grow: float, shift: float, mirrored: bool
) -> npt.NDArray[np.float64]:
    """(2, 3) what turns, scales, shifts (pixels of 96) and mirrors a square a little."""
    angle, scale = draw.normal(0, turn), np.exp(draw.normal(0, grow))
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirrored:
        matrix[:, 0] *= -1
    middle = np.full(2, (size - 1) / 2)
    return np.column_stack(
        [matrix, middle - matrix @ middle + draw.normal(0, shift * size / 96, 2)]
    )


def warped(picture: Image, matrix: npt.NDArray[np.float64]) -> Image:
    """The picture moved, its border repeated."""
    side = picture.shape[0]
    return np.asarray(
        cv2.warpAffine(
            picture, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    )
