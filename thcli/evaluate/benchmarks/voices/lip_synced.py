"""`thcli eval speak --drivers`: lip-synced videos beside their footage and what drove the lips."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from thcli import media
from thcli.core.errors import MediaError, NoFaceError
from thcli.core.events import Finished, Listener, Started, Step, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import EncodeOptions
from thcli.core.temp_folders import temporary_folder
from thcli.core.types import AnyArray, Array, Frame, Image, Motion
from thcli.engines.mesh.anatomy import face_height
from thcli.evaluate.benchmarks.voices.spoken_videos import seconds_of, shapes_at
from thcli.evaluate.datasets.result_pairs import TrueClip, name_clips, video_of_clip
from thcli.evaluate.metrics.measure import Tracker
from thcli.evaluate.metrics.speech import articulation
from thcli.evaluate.metrics.speech.articulation import Flags
from thcli.evaluate.reports.tables import Table
from thcli.motion import canonical
from thcli.motion.closure import region_mask
from thcli.motion.file.format import SUFFIX
from thcli.motion.file.reader import MotionFile
from thcli.motion.observe import KIND
from thcli.pipeline.stages.encode_warp import encode

MARGIN = 0.08  # face heights around the hull of the lower face
LAST = 0.02  # seconds for which the driver's last row is shown
LACK = 0.2  # seconds by which a result may be shorter, as its sound than the driver's picture
PLACES = 4  # decimals
HEADS = [
    "clip",
    "frames",
    "outside L1 ↓",
    "worst frame ↓",
    "equal pixels",
    "opening r ↑",
    "opening / driver",
    "jaw r ↑",
]


@dataclass(frozen=True, slots=True)
class LipSynced:
    """Scores of one video; None for what its frames cannot say.

    outside, worst: L1 (0..255) outside of the lower face, of all frames and of the worst.
    equal: share of these pixels that are equal to the footage.
    opening, jaw: correlation of the result, tracked anew, with the driver.
    amplitude: of the opening, over the driver's.
    """

    frames: int
    outside: float | None
    worst: float | None
    equal: float | None
    opening: float | None
    amplitude: float | None
    jaw: float | None


def evaluate_lips(
    clips: Sequence[tuple[Path, str]],
    results: Path,
    drivers: Path,
    tracker: Callable[[], Tracker],
    encoding: EncodeOptions,
    on: Listener = silent,
) -> dict[str, LipSynced]:
    """Measure lip-synced videos, by the names of their clips.

    Args:
        clips: footage with its speakers.
        results: folder of the videos, named as the clips; lossless ones say what has changed.
        drivers: folder of the motions or videos that drove the lips, named as the clips.
        tracker: makes a tracker of faces.
        encoding: of the motion of drivers that are videos.
        on: receives progress events.

    Raises:
        MediaError: a file is missing or cannot be used.
        NoFaceError: a clip shows no face.
    """
    names = name_clips([TrueClip(path) for path, _ in clips])
    began = time.perf_counter()
    on(Started("measure", len(names), "clips"))
    found = {}
    for number, (name, clip) in enumerate(names.items(), 1):
        driver = read_driver(drivers, clip.path, encoding)
        found[name] = measure(clip.path, video_of_clip(results, clip.path), driver, tracker)
        on(Step("measure", number))
    on(Finished("measure", len(found), time.perf_counter() - began))
    return found


def read_driver(drivers: Path, clip: Path, encoding: EncodeOptions) -> Motion:
    """Return the motion that drove a clip's lips; nothing is left beside videos.

    Raises:
        MediaError: it is missing or cannot be used; also raises as `encode`.
    """
    with temporary_folder() as folder:
        path = drivers / f"{clip.stem}{SUFFIX}"
        if not path.is_file():
            video, path = video_of_clip(drivers, clip), folder / path.name
            encode(video, path, encoding)
        store = MotionFile(path)
        motion = store.window(0, len(store))
    if motion.kind != KIND or not motion.valid.any():
        raise MediaError(
            f"The driver of {clip.name} has no motion of kind {KIND}.",
            "Give the motion file of thcli speak, or a video of a talking face.",
        )
    return motion


def measure(
    footage: Path, result: Path, driver: Motion, tracker: Callable[[], Tracker]
) -> LipSynced:
    """Measure one video, frame by frame as long as footage and driver last.

    Raises:
        MediaError: the result has another size or other times, or ends before them.
        NoFaceError: the footage shows no face.
    """
    before, after = tracker(), tracker()
    lower = region_mask("lips")[:, 0] > 0
    seconds: list[float] = []
    features: list[dict[str, Array]] = []
    outside: list[tuple[float, float]] = []
    shown = False
    for at, own, made in _pairs(footage, result, float(seconds_of(driver)[-1]) + LAST):
        seconds.append(at)
        image, changed = to_uint8(own.pixels), to_uint8(made.pixels)
        if image.shape != changed.shape:
            raise MediaError(f"{result} has another size than {footage}.", "Keep its size.")
        face, again = before(image), after(changed)
        mesh = None if again is None else again.mesh
        shape = _unknown() if mesh is None else canonical.decompose(mesh).shape
        features.append(articulation.mouth_features(shape[None]))
        if face is not None and face.mesh is not None:
            difference = np.abs(image.astype(np.int16) - changed).mean(-1)
            chosen = difference[~_lower_face(image, np.asarray(face.mesh), lower)]
            shown = True
            if len(chosen):  # a large face fills the picture
                outside.append((float(chosen.mean()), float((chosen == 0).mean())))
    if not shown:
        raise NoFaceError(f"{footage} shows no face.", "Give clips of talking faces.")
    opening, jaw = (np.concatenate([one[key] for one in features]) for key in ("opening", "jaw"))
    wanted = articulation.mouth_features(shapes_at(driver, np.array(seconds)))
    mean, equal = np.mean(outside, 0).tolist() if outside else (None, None)
    return LipSynced(
        len(seconds),
        mean,
        max((one for one, _ in outside), default=None),
        equal,
        articulation.known_correlation(wanted["opening"], opening),
        articulation.amplitude_ratio(wanted["opening"], opening, np.isfinite(opening)),
        articulation.known_correlation(wanted["jaw"], jaw),
    )


def _pairs(footage: Path, result: Path, end: float) -> Iterator[tuple[float, Frame, Frame]]:
    """Yield seconds since the first frame, frame of the footage and of the result, up to `end`."""
    with ExitStack() as stack:
        owns, made = (_timed(stack.enter_context(media.read(path))) for path in (footage, result))
        last = 0.0
        for at, own in owns:
            if at > end:
                return
            at_other, other = next(made, (at, None))
            if other is not None and abs(at_other - at) > (at - last) / 2:
                raise MediaError(
                    f"{result} has frames at other times than {footage}.",
                    "Keep the footage's frame rate.",
                )
            if other is not None:
                last = at
                yield at, own, other
            elif at - last > LACK:
                raise MediaError(
                    f"{result} ends before {footage} and its driver do.", "Give the whole result."
                )


def _timed(frames: Iterable[Frame]) -> Iterator[tuple[float, Frame]]:
    """Yield seconds since the first frame, and the frame."""
    begin: Fraction | None = None
    for frame in frames:
        time_of_frame = frame.pts * frame.time_base
        begin = time_of_frame if begin is None else begin
        yield float(time_of_frame - begin), frame


def _unknown() -> Array:
    return np.full(canonical.neutral().shape, np.nan)


def _lower_face(image: Image, mesh: AnyArray, lower: Flags) -> Flags:
    """Return the pixels (H, W) of the hull of the lower face and MARGIN around it."""
    points = np.asarray(mesh[:, :2], np.float32)
    hull = cv2.convexHull(points[lower]).astype(np.int32)
    inside = cv2.fillConvexPoly(np.zeros(image.shape[:2], np.uint8), hull, (1,))
    side = 2 * round(MARGIN * face_height(np.asarray(points, np.float64))) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(inside, disc), bool)


def report(found: dict[str, LipSynced]) -> dict[str, Any]:
    """Return the scores for JSON."""
    rounded = {
        name: {
            key: value if value is None else round(value, PLACES)
            for key, value in asdict(scores).items()
        }
        for name, scores in found.items()
    }
    return {"command": "eval speak", "clips": rounded}


def table(content: dict[str, Any]) -> Table:
    """Return heading and lines for people."""
    lines = [
        [name, *("-" if value is None else str(value) for value in scores.values())]
        for name, scores in content["clips"].items()
    ]
    return HEADS, lines
