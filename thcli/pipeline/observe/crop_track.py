"""Crop track of one face: the smoothed crop of every frame, in a file *.crops.safetensors.

The file is a motion file (docs/motion-file.md) of kind "crop". Each frame has crop_from_frame
(3, 3), box (4,), outline (36, 2) and mesh (468, 3) of the face in pixels of the frame, zero where
the face was not detected, and shot (), the number of its scene. Constants: size and frame_size,
(width, height) of crops and frames in pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thcli import __version__
from thcli.core.errors import MediaError
from thcli.core.geometry import rotvec_from_matrix, transform_points
from thcli.core.options import StabilizationOptions, TemplateOptions
from thcli.core.types import AnyArray, Array, Array32, Crop, Face, Frame, Motion
from thcli.faces.crops.crop import transform_face
from thcli.faces.crops.stabilize import crop_from_params
from thcli.faces.landmarks.topology import POINTS
from thcli.motion.canonical import decompose
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.writer import MotionWriter
from thcli.pipeline.observe.crop_path import OUTLINE_CROP_SIZE, OUTLINE_POINTS, WINDOW, CropPath
from thcli.pipeline.observe.crop_templates import UPRIGHT_TEMPLATES, crop_placement
from thcli.pipeline.observe.track_log import TrackLog

KIND, SUFFIX = "crop", ".crops.safetensors"
SMALLEST_SCALE = 1e-8  # of areas from frame to crop


@dataclass(frozen=True, slots=True)
class TrackedCrop:
    """The crop of one frame.

    placement: of the crop in the frame.
    seconds: time stamp of the frame.
    scene: number of its scene.
    outline: (36, 2) extreme points of the face in pixels of the frame; None where the face was not
        detected.
    mesh: (468, 3) in pixels of the frame; None as `outline`, and in files of older versions.
    """

    placement: Crop
    seconds: Fraction
    scene: int
    outline: Array32 | None
    mesh: Array32 | None = None


class CropTrack:
    """An open crop track file, read window by window.

    Raises MediaError for a file that is not a crop track.
    """

    def __init__(self, path: Path) -> None:
        hint = f"Make it again from its video: thcli crop VIDEO, which writes NAME{SUFFIX} too."
        self.file = MotionFile(path, hint=hint)
        if self.file.kind != KIND:
            raise MediaError(f"{path} does not contain the placement of crops.", hint)
        for start in range(0, len(self.file), WINDOW):
            matrices = self.file.window(start, start + WINDOW).arrays["crop_from_frame"]
            if not _are_placements(np.asarray(matrices, np.float64)):
                raise MediaError(f"{path} has a crop that no frame can be cropped to.", hint)
        sizes = [self.file.constants[name] for name in ("size", "frame_size")]
        self.size, self.frame_size = ((int(s[0]), int(s[1])) for s in sizes)

    def __len__(self) -> int:
        return len(self.file)

    def __iter__(self) -> Iterator[TrackedCrop]:
        for start in range(0, len(self.file), WINDOW):
            yield from self.window(start, start + WINDOW)

    def window(self, start: int, stop: int) -> Iterator[TrackedCrop]:
        """Yield the crops of frames start..stop (exclusive), limited to the clip."""
        rows = self.file.window(start, stop)
        matrices, outlines = (rows.arrays[name] for name in ("crop_from_frame", "outline"))
        meshes = rows.arrays.get("mesh")
        for i, pts in enumerate(rows.pts):
            placement = Crop(np.asarray(matrices[i], np.float64), self.size)
            outline = np.asarray(outlines[i], np.float32) if rows.valid[i] else None
            mesh = None if outline is None or meshes is None else np.asarray(meshes[i], np.float32)
            seconds, scene = int(pts) * self.file.time_base, int(rows.arrays["shot"][i])
            yield TrackedCrop(placement, seconds, scene, outline, mesh)


def _are_placements(matrices: Array) -> bool:
    """Return whether matrices (T, 3, 3) are affine and neither vanish nor explode."""
    scale = np.abs(np.linalg.det(matrices[:, :2, :2]))
    affine = np.allclose(matrices[:, 2], (0, 0, 1))
    return bool(affine and np.all((scale > SMALLEST_SCALE) & (scale < 1 / SMALLEST_SCALE)))


def write_crop_track(
    path: Path,
    log: TrackLog,
    track: int,
    template: TemplateOptions,
    stabilization: StabilizationOptions,
    source: str,
    *,
    exact: bool = False,
) -> int:
    """Write the smoothed crops of one track.

    Args:
        path: output file.
        log: all faces of the clip.
        track: number of the face.
        template: placement and size of the crops.
        stabilization: smoothing.
        source: name of the clip, for the metadata.
        exact: the faces have no jitter of a detection, so none moves with its smoothed crop.

    Returns:
        The number of frames in which the face was not detected.
    """
    cuts = np.array(log.cuts, np.int64)
    size = (template.size, template.size)
    constants = {"size": np.array(size, np.int64), "frame_size": np.array(log.size, np.int64)}
    metadata = {"source": source, "made_by": f"thcli {__version__}", "template": template.template}
    with (
        CropPath(template.template in UPRIGHT_TEMPLATES) as crop_path,
        MotionWriter(path, metadata) as writer,
    ):
        unseen = _add_track(crop_path, log, track, template, cuts)
        windows = zip(
            log.windows(track, WINDOW),
            crop_path.raw(),
            crop_path.smooth(stabilization),
            crop_path.smooth_outlines(stabilization),
            strict=True,
        )
        for (frames, faces), raw, smoothed, outlines in windows:
            placements = [crop_from_params(params, size) for params in smoothed]
            moved = [
                face
                if face is None or exact
                else _move_with_crop(face, crop_from_params(old, size), new)
                for face, old, new in zip(faces, raw, placements, strict=True)
            ]
            arrays: dict[str, AnyArray] = {
                "crop_from_frame": np.stack([p.crop_from_frame for p in placements]),
                "shot": _scene_numbers(cuts, frames),
                **_face_arrays(moved, outlines, smoothed),
            }
            pts = np.array([frame.pts for frame in frames], np.int64)
            valid = np.array([face is not None for face in faces])
            writer.append(Motion(KIND, pts, log.time_base, valid, arrays, constants))
    return unseen


def _add_track(
    crop_path: CropPath,
    log: TrackLog,
    track: int,
    template: TemplateOptions,
    cuts: npt.NDArray[np.int64],
) -> int:
    """Add every frame of a track to a path; return how many do not show the face."""
    unseen = 0
    for (frames, faces), motions in zip(
        log.windows(track, WINDOW), log.head_motions(track, WINDOW), strict=True
    ):
        scenes = _scene_numbers(cuts, frames)
        for frame, face, motion, scene in zip(frames, faces, motions, scenes, strict=True):
            placement = None if face is None else crop_placement(face, template)
            angles = None if face is None or motion is None else _head_angles(face)
            outline = None if face is None or face.mesh is None else _outline(face.mesh)
            crop_path.add(placement, frame.seconds, int(scene), motion, angles, outline)
            unseen += face is None
    crop_path.finish()
    return unseen


def _move_with_crop(face: Face, raw: Crop, smoothed: Crop) -> Face:
    """Move a face by the correction of its crop: jitter of the detection shifts both alike."""
    frame_from_smoothed = np.linalg.inv(smoothed.crop_from_frame)
    return transform_face(face, frame_from_smoothed @ raw.crop_from_frame)


def _head_angles(face: Face) -> tuple[float, float] | None:
    """Return pitch (down) and yaw of a head in radians."""
    if face.mesh is None:
        return None
    pitch, yaw, _ = rotvec_from_matrix(decompose(face.mesh).rotation)
    return float(pitch), float(yaw)


def _scene_numbers(cuts: npt.NDArray[np.int64], frames: Sequence[Frame]) -> npt.NDArray[np.int64]:
    return np.searchsorted(cuts, [frame.index for frame in frames], "right").astype(np.int64)


def _outline(mesh: Array32) -> Array32:
    """Return the extreme points of a mesh (468, 3) in OUTLINE_POINTS directions, (36, 2) pixels."""
    angle = np.arange(OUTLINE_POINTS) * (2 * np.pi / OUTLINE_POINTS)
    directions = np.stack([np.cos(angle), np.sin(angle)])
    return np.asarray(mesh[np.argmax(mesh[:, :2] @ directions, axis=0), :2], np.float32)


def _face_arrays(
    faces: Iterable[Face | None], outlines: Array, params: Array
) -> dict[str, Array32]:
    """Return boxes (T, 4), outlines (T, 36, 2) and meshes (T, 468, 3), zero without a face.

    outlines: in pixels of crops of OUTLINE_CROP_SIZE with `params`, (T, 4).
    """
    shapes = {"box": (4,), "outline": (OUTLINE_POINTS, 2), "mesh": (POINTS, 3)}
    arrays = {name: np.zeros((len(outlines), *shape), np.float32) for name, shape in shapes.items()}
    for i, (face, outline, row) in enumerate(zip(faces, outlines, params, strict=True)):
        if face is not None and face.mesh is not None:
            placement = crop_from_params(row, OUTLINE_CROP_SIZE)
            frame_from_crop = np.asarray(np.linalg.inv(placement.crop_from_frame))
            arrays["box"][i], arrays["mesh"][i] = face.box, face.mesh
            arrays["outline"][i] = transform_points(frame_from_crop, outline)
    return arrays
