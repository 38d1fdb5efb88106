"""Time of the unavoidable work: each stage alone in memory, and the plain transcode of a clip."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np

from thcli import media
from thcli.core.errors import NoFaceError
from thcli.core.options import OutputOptions, ReadOptions, ReenactOptions
from thcli.core.protocols import CropEngine, Engine
from thcli.core.types import Array32, Face, Frame, Image, Motion
from thcli.engines.backends import ENGINES
from thcli.evaluate.metrics.tracker import main_face_tracker
from thcli.faces.landmarks.mouth_inside import CLOSED, shown_inside
from thcli.faces.tracking.camera_motion import CameraMotionEstimator
from thcli.faces.tracking.head_motion import Similarity
from thcli.media.failures import to_output_error
from thcli.media.reading.container import open_input, require_video_stream
from thcli.media.writing.codecs import plan_encoder
from thcli.media.writing.encoder import VideoFormat, configure_encoder
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.observe import observe
from thcli.motion.skin.follower import SkinFollower
from thcli.pipeline.observe.face_finder import load_camera_estimator

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of wall time and of CPU time (the process with all threads, and ended children)."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Timing) -> Timing:
        return Timing(self.wall + other.wall, self.cpu + other.cpu)


@contextmanager
def timing() -> Iterator[Callable[[], Timing]]:
    """Yield a function that returns the duration of the block after its end."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    found = Timing()
    yield lambda: found
    found = Timing(time.perf_counter() - wall, _cpu_seconds() - cpu)


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that ended, which helped it."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def fastest_run(work: Callable[[], Result], repeat: int) -> tuple[Timing, Result]:
    """Return the run of the least wall time and its result; other load only adds time."""
    runs = []
    for _ in range(repeat):
        with timing() as taken:
            result = work()
        runs.append((taken(), result))
    return min(runs, key=lambda run: run[0].wall)


@dataclass(frozen=True, slots=True)
class FollowedFaces:
    """Faces of T driving frames, and readings of the pixels around them.

    faces: on their skin.  skin: (468, 2) pixels by which each was moved, None without a face.
    cameras, torsos, insides: as `motion.observe` takes them; none without an estimator.
    """

    faces: list[Face | None]
    skin: list[Array32 | None]
    cameras: list[Similarity]
    torsos: list[Similarity | None]
    insides: list[float]

    @staticmethod
    def of(
        frames: Sequence[Frame],
        faces: Sequence[Face | None],
        camera: CameraMotionEstimator | None,
    ) -> FollowedFaces:
        """Measure frame after frame, as the pipeline does beside the tracker."""
        follower, found = SkinFollower(), FollowedFaces([], [], [], [], [])
        for frame, face in zip(frames, faces, strict=True):
            tracked = [] if face is None else [face]
            placed = [*follower.correct(frame.pixels, tracked, cut=False), None][0]
            found.faces.append(placed)
            moved = None
            if face is not None and face.mesh is not None and placed is not None:
                assert placed.mesh is not None
                moved = np.asarray(placed.mesh[:, :2] - face.mesh[:, :2], np.float32)
            found.skin.append(moved)
            if camera is not None:
                found.cameras.append(camera.estimate(frame.pixels, tracked))
                found.torsos.append(camera.torso)
                shown = CLOSED
                if face is not None and face.mesh is not None:
                    shown = shown_inside(frame.pixels, face.mesh)
                found.insides.append(shown)
        return found

    def observe(self, frames: Sequence[Frame]) -> Motion:
        """Return the motion of the frames."""
        surroundings = (self.cameras, self.torsos) if self.cameras else None
        insides = self.insides if self.cameras else None
        return observe(frames, self.faces, None, surroundings, insides, self.skin)


@dataclass
class IsolatedStages:
    """Stages of a reenactment, run one after the other on frames in memory, without queues or disk.

    They do the work of `pipeline.reenact` on a clip of one scene, and give the same motion.

    stages: load, track, follow (camera, torso, skin and open mouths of a driver whose mesh drives),
    motion, render -> time so far.
    """

    options: ReenactOptions
    stages: dict[str, Timing] = field(default_factory=dict)

    def run(self, portrait: Image, frames: Sequence[Frame]) -> list[Image]:
        """Return the rendered images.

        Raises WeightsError, and NoFaceError when the portrait has no face.
        """
        options = self.options
        with self._stage("load"):
            tracker = main_face_tracker(options.faces, options.run)
            engine: Engine = ENGINES.backend(options.engine).load(options.run, options)
            source = self._source(engine, portrait, tracker()(portrait))
            follows = not isinstance(engine, CropEngine)
            camera = load_camera_estimator(options.run) if follows else None
        with self._stage("track"):
            track = tracker()
            # Trackers take uint16 as well.
            faces = [track(frame.pixels) for frame in frames]  # type: ignore[arg-type]  # as said
        with self._stage("follow"):
            followed = FollowedFaces.of(frames, faces, camera) if follows else None
        with self._stage("motion"):
            rows = followed.observe(frames) if followed else engine.observe(frames, faces)
            observed = MotionBuffer(rows)
            store = engine.retarget(source, observed, options.motion)
        with self._stage("render"):
            size = options.run.batch_size
            images: list[Image] = []
            reads_driver = engine.reads_driver(source, store)
            for start in range(0, len(frames), size):
                stop = min(start + size, len(frames))
                driving = frames[start:stop] if reads_driver else None
                images += engine.render(source, store.window(start, stop), driving)
        return images

    def _source(self, engine: Engine, portrait: Image, face: Face | None) -> Any:
        if face is None:
            raise NoFaceError(
                "The source image of the benchmark shows no face.", "Give another source image."
            )
        return engine.encode_source(portrait, face)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        with timing() as taken:
            yield
        self.stages[name] = self.stages.get(name, Timing()) + taken()


def decode_alone(clip: Path, read: ReadOptions) -> list[Frame]:
    """Read a clip as the pipeline does, holding all its frames."""
    with media.read(clip, read) as reader:
        return list(reader)


def encode_alone(frames: Sequence[Frame], target: Path, output: OutputOptions) -> int:
    """Write frames in memory as the pipeline does; return their number."""
    first = frames[0]
    with media.write(
        target,
        first.size,
        None,
        output,
        media.WritePlan(time_base=first.time_base, rate=Fraction(25)),
    ) as out:
        for frame in frames:
            out.write(frame.pixels, frame.pts, frame.duration)
    return out.written


def plain_transcode(clip: Path, frames: int, target: Path, output: OutputOptions) -> int:
    """Transcode the first frames of a clip without converting to RGB; return their number.

    It is the yardstick of the overhead. Raises MediaError, OutputError.
    """
    info = media.probe(clip)
    plan = plan_encoder("mp4", output, info.size, info.bit_depth > 8)
    form = VideoFormat(
        info.size, plan, info.time_base, info.rate or Fraction(25), info.colour, info.sar
    )
    count = 0
    try:
        with open_input(clip) as container, av.open(str(target), "w", format="mp4") as out:
            source = require_video_stream(container, clip)
            source.thread_type = "AUTO"
            stream = out.add_stream(plan.encoder, rate=form.rate)
            assert isinstance(stream, av.VideoStream)
            configure_encoder(stream.codec_context, form)
            for image in islice(container.decode(source), frames):
                out.mux(stream.encode(image.reformat(format=plan.pix_fmt)))
                count += 1
            out.mux(stream.encode(None))
    except (av.FFmpegError, OSError) as exc:
        raise to_output_error(target, exc) from exc
    return count
