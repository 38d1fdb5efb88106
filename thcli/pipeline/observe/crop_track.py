"""Where the crops of a clip lie: found over the whole clip in memory that does not grow with it, kept as *.crops.safetensors.

The file has the format of a motion file (docs/motion-file.md) of kind "crop". A frame has crop_from_frame (3, 3), the face's box (4,),
its outline (36, 2) and its mesh (468, 3), all in pixels of the frame and zero where the face was not seen, and the number of its shot
(); constants are the crops' size and the frames'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli import __version__
from thcli.core.errors import MediaError
from thcli.core.geometry import rotvec_from_matrix, transform
from thcli.core.options import SteadyOptions, TemplateOptions
from thcli.core.types import Array, Array32, Crop, Face, Frame, Motion
from thcli.faces.crops import align
from thcli.faces.crops.crop import moved
from thcli.faces.crops.stabilize import crop_of, halo, params_of, steady_points, steady_windows
from thcli.faces.landmarks.layouts import landmarks_of
from thcli.faces.landmarks.topology import POINTS
from thcli.faces.tracking.head_motion import Similarity
from thcli.motion.canonical import decompose, neutral
from thcli.motion.file import MotionFile, MotionWriter
from thcli.pipeline.job.temp_storage import Spool
from thcli.pipeline.observe.track_log import TrackLog

KIND, SUFFIX = "crop", ".crops.safetensors"
WINDOW = 512
OUTLINE = 36  # directions in which the face's outermost points are noted
SQUARE = 2.0  # the square's side over the face's height
PLACE = np.dtype(
    [
        ("params", "<f8", 4),
        ("seconds", "<f8"),
        ("shot", "<i8"),
        ("step", "<f8", 4),
        ("turns", "<f8", 2),
        ("outline", "<f4", (OUTLINE, 2)),
        ("seen", "?"),
    ]
)
_FINE = (512, 512)  # the crop in which an outline is calmed
UPRIGHT = ("square",)  # templates that do not turn with the head

_Maker = Callable[[Face, int, float | None], Crop]


def _square(face: Face, size: int, scale: float | None) -> Crop:
    """Around the face, as large as the head is: neither place nor side breathe with the mouth, nor does the side when the head nods."""
    side = float(max(face.box[2:] - face.box[:2]))
    middle = (face.box[:2] + face.box[2:]) / 2
    if face.mesh is not None:
        posed, plain = decompose(face.mesh), neutral()
        side = float(np.exp(posed.log_scale) * np.ptp(plain[:, 1]))
        between = np.append((plain.min(0) + plain.max(0))[:2] / 2, 0.0)
        middle = (posed.centre + np.exp(posed.log_scale) * posed.rotation @ between)[:2]
    around = np.concatenate([middle - side / 2, middle + side / 2])
    return align.square(around, size, SQUARE if scale is None else scale)


def _arcface(face: Face, size: int, scale: float | None) -> Crop:
    return _widened(align.arcface(landmarks_of(face), size), scale)


def _close(face: Face, size: int, scale: float | None) -> Crop:
    return _widened(align.close(landmarks_of(face), size), scale)


def _ffhq(face: Face, size: int, scale: float | None) -> Crop:
    return _widened(align.ffhq(landmarks_of(face), size), scale)


def _liveportrait(face: Face, size: int, scale: float | None) -> Crop:
    points = landmarks_of(face)
    return (
        align.liveportrait(points, size)
        if scale is None
        else align.liveportrait(points, size, scale)
    )


def _widened(where: Crop, scale: float | None) -> Crop:
    """Around the same middle, with `scale` times the side."""
    if scale is None:
        return where
    middle = (where.size[0] - 1) / 2
    shrink = np.array(
        [
            [1 / scale, 0, middle - middle / scale],
            [0, 1 / scale, middle - middle / scale],
            [0, 0, 1],
        ]
    )
    return Crop(shrink @ where.crop_from_frame, where.size)


TEMPLATES: dict[str, _Maker] = {
    "square": _square,
    "arcface": _arcface,
    "close": _close,
    "ffhq": _ffhq,
    "liveportrait": _liveportrait,
}


def place_of(face: Face, options: TemplateOptions) -> Crop:
    """Where a face is cut out. Raises NoFaceError when it has no landmarks, or they are of no face."""
    return TEMPLATES[options.template](face, options.size, options.scale)


class CropPath(Spool):
    """The raw path of a crop over a clip, on disk. A context manager.

    Fed with every frame in order. Where the face was not seen the place goes evenly from the one before to the one after; at a cut,
    and at the clip's ends, it keeps the place of its own scene.  upright: whether crops do not turn with the head.
    """

    def __init__(self, upright: bool = False) -> None:
        self._upright = upright
        self._stepped = False  # whether pixels said anything
        super().__init__("path")
        self._last: np.void | None = None  # where the face was last seen
        self._missing = 0  # frames since then
        self.frames = 0

    def add(
        self,
        where: Crop | None,
        seconds: float,
        scene: int,
        step: Similarity | None = None,
        turns: tuple[float, float] | None = None,
        outline: Array32 | None = None,
    ) -> None:
        """The next frame's place, None where the face was not seen. shot: the number of its scene.

        step: this frame from the one before, by the head's pixels.  turns: radians that the head is turned down and to the side.
        outline: of the face, (OUTLINE, 2) pixels of the frame.
        """
        row = np.zeros(1, PLACE)
        row["seconds"], row["shot"] = seconds, scene
        row["step"] = np.nan
        row["turns"] = np.nan if turns is None else turns
        if where is not None:
            params = params_of([where])[0]
            if self._last is not None:  # angles go on, they do not jump by a turn
                params[3] += (
                    2 * np.pi * np.round((self._last["params"][3] - params[3]) / (2 * np.pi))
                )
            if (
                step is not None
                and self._last is not None
                and not self._missing
                and self._last["shot"] == scene
            ):
                row["step"] = self._step(step, complex(*self._last["params"][:2]))
                self._stepped = True
            row["params"] = params
            if outline is not None:
                row["seen"] = True
                row["outline"] = transform(crop_of(params, _FINE).crop_from_frame, outline)
            self._fill(row[0])
        self._put(self.frames, row)
        self.frames += 1
        self._missing = 0 if where is not None else self._missing + 1

    def _step(self, step: Similarity, middle: complex) -> tuple[float, float, float, float]:
        """What a step does to the params of a crop around `middle`."""
        way = step.a * middle + step.b - middle
        return (
            way.real,
            way.imag,
            float(np.log(abs(step.a))),
            0.0 if self._upright else float(np.angle(step.a)),
        )

    def _fill(self, now: np.void) -> None:
        """Gives the frames before `now` that did not show the face a place."""
        before = self._last
        for start in range(self.frames - self._missing, self.frames, WINDOW):
            rows = self._get(start, min(start + WINDOW, self.frames))
            if before is None:
                rows["params"] = now["params"]
            elif before["shot"] == now["shot"]:
                share = (rows["seconds"] - before["seconds"]) / (now["seconds"] - before["seconds"])
                rows["params"] = before["params"] + share[:, None] * (
                    now["params"] - before["params"]
                )
            else:
                new = (rows["shot"] == now["shot"])[:, None]
                rows["params"] = np.where(new, now["params"], before["params"])
            self._put(start, rows)
        self._last = now.copy()

    def finish(self) -> None:
        """The last frames keep the last place. Call once, after the last frame."""
        for start in range(self.frames - self._missing, self.frames, WINDOW):
            rows = self._get(start, min(start + WINDOW, self.frames))
            if self._last is not None:
                rows["params"] = self._last["params"]
            self._put(start, rows)

    def calm(self, options: SteadyOptions) -> Iterator[Array]:
        """(T, 4) after (T, 4) of the calmed path, WINDOW frames at a time."""

        def read(start: int, stop: int) -> tuple[npt.NDArray[Any], ...]:
            rows = self._get(start, stop)
            known = rows["params"], rows["seconds"], np.ones(len(rows), bool), rows["shot"]
            return (
                (*known, rows["step"], rows["turns"]) if self._stepped and options.pixels else known
            )

        return steady_windows(read, self.frames, WINDOW, options=options)

    def outlines(self, options: SteadyOptions) -> Iterator[Array]:
        """(T, OUTLINE, 2) after (T, OUTLINE, 2): the faces' calmed outlines, in pixels of 512 x 512 crops on the raw path."""
        reach = halo(options)
        for start in range(0, self.frames, WINDOW):
            first, stop = max(start - reach, 0), min(start + WINDOW, self.frames)
            rows = self._get(first, min(stop + reach, self.frames))
            calm = steady_points(
                rows["outline"], rows["seconds"], rows["seen"], rows["shot"], options=options
            )
            yield calm[start - first : stop - first]

    def raw(self) -> Iterator[Array]:
        """(T, 4) after (T, 4) of the path as it was found, WINDOW frames at a time."""
        for start in range(0, self.frames, WINDOW):
            yield self._get(start, min(start + WINDOW, self.frames))["params"]

    def _get(self, start: int, stop: int) -> npt.NDArray[Any]:
        self._file.seek(start * PLACE.itemsize)
        return np.frombuffer(self._file.read((stop - start) * PLACE.itemsize), PLACE).copy()

    def _put(self, start: int, rows: npt.NDArray[Any]) -> None:
        self._file.seek(start * PLACE.itemsize)
        self._file.write(rows.tobytes())


def write_places(
    path: Path,
    log: TrackLog,
    track: int,
    template: TemplateOptions,
    steady: SteadyOptions,
    source: str,
) -> int:
    """Writes where the crops of one track lie, calmed; returns how many frames do not show the face."""
    cuts = np.array(log.cuts, np.int64)
    unseen = 0
    with (
        CropPath(template.template in UPRIGHT) as trail,
        MotionWriter(path, _words(source, template)) as writer,
    ):
        for (frames, faces), steps in zip(
            log.windows(track, WINDOW), log.steps(track, WINDOW), strict=True
        ):
            for frame, face, step in zip(frames, faces, steps, strict=True):
                where = None if face is None else place_of(face, template)
                turns = None if face is None or step is None else _turns(face)
                outline = None if face is None or face.mesh is None else _outline(face.mesh)
                trail.add(where, frame.seconds, int(_shots(cuts, [frame])[0]), step, turns, outline)
                unseen += face is None
        trail.finish()
        rows = zip(
            log.windows(track, WINDOW),
            trail.raw(),
            trail.calm(steady),
            trail.outlines(steady),
            strict=True,
        )
        for (frames, seen), raw, calm, outlines in rows:
            size = (template.size, template.size)
            matrices = np.stack([crop_of(params, size).crop_from_frame for params in calm])
            # What trembles as a whole is the crop and the face in it: the face is moved as its crop was, with its outline.
            faces = [
                None
                if face is None
                else moved(face, np.linalg.inv(matrix) @ crop_of(params, size).crop_from_frame)
                for face, matrix, params in zip(seen, matrices, raw, strict=True)
            ]
            writer.append(
                Motion(
                    KIND,
                    np.array([frame.pts for frame in frames], np.int64),
                    log.time_base,
                    np.array([face is not None for face in faces]),
                    {
                        "crop_from_frame": matrices,
                        "shot": _shots(cuts, frames),
                        **_faces(faces, outlines, calm),
                    },
                    {"size": np.array(size, np.int64), "frame_size": np.array(log.size, np.int64)},
                )
            )
    return unseen


def _turns(face: Face) -> tuple[float, float] | None:
    """Radians that a head is turned down and to the side."""
    if face.mesh is None:
        return None
    down, aside, _ = rotvec_from_matrix(decompose(face.mesh).rotation)
    return float(down), float(aside)


def _shots(cuts: npt.NDArray[np.int64], frames: Sequence[Frame]) -> npt.NDArray[np.int64]:
    """The number of each frame's scene."""
    return np.searchsorted(cuts, [frame.index for frame in frames], "right").astype(np.int64)


def _words(source: str, template: TemplateOptions) -> dict[str, str]:
    return {"source": source, "made_by": f"thcli {__version__}", "template": template.template}


def _outline(mesh: Array32) -> Array32:
    """The outermost points of a (468, 3) mesh in so many directions, (OUTLINE, 2) pixels."""
    angle = np.arange(OUTLINE) * (2 * np.pi / OUTLINE)
    return np.asarray(
        mesh[np.argmax(mesh[:, :2] @ np.stack([np.cos(angle), np.sin(angle)]), axis=0), :2],
        np.float32,
    )


def _faces(faces: Iterable[Face | None], outlines: Array, places: Array) -> dict[str, Array32]:
    """Boxes (T, 4), outlines (T, OUTLINE, 2) and meshes (T, 468, 3) of faces, zero where there is none.

    outlines: in the pixels of 512 x 512 crops at `places`, (T, 4) params.
    """
    arrays = {"box": (4,), "outline": (OUTLINE, 2), "mesh": (POINTS, 3)}
    out = {name: np.zeros((len(outlines), *shape), np.float32) for name, shape in arrays.items()}
    for i, (face, outline, params) in enumerate(zip(faces, outlines, places, strict=True)):
        if face is not None and face.mesh is not None:
            out["box"][i], out["mesh"][i] = face.box, face.mesh
            out["outline"][i] = transform(
                np.asarray(np.linalg.inv(crop_of(params, _FINE).crop_from_frame)), outline
            )
    return out


@dataclass(frozen=True, slots=True)
class CropPlacement:
    """Where one crop lies. seconds: of its frame.  shot: number of its scene.  outline: of the face, (36, 2) pixels of the frame, and mesh, (468, 3); None where it was not seen (mesh: also in files of older versions)."""

    where: Crop
    seconds: Fraction
    scene: int
    outline: Array32 | None
    mesh: Array32 | None = None


class CropTrack:
    """A file of crops, opened: where each lies, window by window.

    Raises MediaError when it is not one.
    """

    def __init__(self, path: Path) -> None:
        hint = f"Make it again from its video: thcli crop VIDEO, which writes NAME{SUFFIX} too."
        self.file = MotionFile(path, hint=hint)
        one = self.file.window(0, 1).arrays
        sound = self.file.kind == KIND and all(
            name in one and one[name].shape[1:] == shape and one[name].dtype.kind == kind
            for name, shape, kind in (
                ("crop_from_frame", (3, 3), "f"),
                ("outline", (OUTLINE, 2), "f"),
                ("shot", (), "i"),
            )
        )
        sizes = [self.file.constants.get(name) for name in ("size", "frame_size")]
        if not (
            sound and all(s is not None and s.shape == (2,) and s.dtype.kind == "i" for s in sizes)
        ):
            raise MediaError(f"{path} does not say where crops lie.", hint)
        self.size, self.frame_size = ((int(s[0]), int(s[1])) for s in sizes if s is not None)

    def __len__(self) -> int:
        return len(self.file)

    def __iter__(self) -> Iterator[CropPlacement]:
        for start in range(0, len(self.file), WINDOW):
            yield from self.window(start, start + WINDOW)

    def window(self, start: int, stop: int) -> Iterator[CropPlacement]:
        """Frames start..stop, clipped to the clip."""
        rows = self.file.window(start, stop)
        matrices, outlines = (rows.arrays[name] for name in ("crop_from_frame", "outline"))
        meshes = rows.arrays.get("mesh")
        for i, pts in enumerate(rows.pts):
            where = Crop(np.asarray(matrices[i], np.float64), self.size)
            outline = np.asarray(outlines[i], np.float32) if rows.valid[i] else None
            mesh = None if outline is None or meshes is None else np.asarray(meshes[i], np.float32)
            yield CropPlacement(
                where, int(pts) * self.file.time_base, int(rows.arrays["shot"][i]), outline, mesh
            )
