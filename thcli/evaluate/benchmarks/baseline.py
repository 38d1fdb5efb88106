"""What the unavoidable work takes by itself: each stage alone in memory, and the plain transcode of a clip."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import av

from thcli import media
from thcli.core.errors import NoFaceError
from thcli.core.options import OutputOptions, ReadOptions, ReenactOptions
from thcli.core.protocols import Engine
from thcli.core.types import Face, Frame, Image
from thcli.engines.backends import ENGINES
from thcli.evaluate.metrics.tracker import main_face_tracker
from thcli.media.failures import unwritable
from thcli.media.reading.container import need_picture, opened
from thcli.media.writing.codecs import plan_encoder
from thcli.media.writing.encoder import VideoFormat, configure
from thcli.motion.file import MotionBuffer

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of wall time and of CPU time (all threads of the process)."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Timing) -> Timing:
        return Timing(self.wall + other.wall, self.cpu + other.cpu)


@contextmanager
def timing() -> Iterator[Callable[[], Timing]]:
    """Gives a function that says, in the end, how long the block took."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = Timing()
    yield lambda: found
    found = Timing(time.perf_counter() - wall, time.process_time() - cpu)


def best(work: Callable[[], Result], repeat: int) -> tuple[Timing, Result]:
    """The run of the least wall time, and its result: other load on the machine only ever adds."""
    runs = []
    for _ in range(repeat):
        with timing() as taken:
            result = work()
        runs.append((taken(), result))
    return min(runs, key=lambda run: run[0].wall)


@dataclass
class Alone:
    """The stages of a reenactment one after the other, on one thread each, on frames in memory: no queue, no disk.

    stages: load, track, motion, render -> time taken so far.
    """

    options: ReenactOptions
    stages: dict[str, Timing] = field(default_factory=dict)

    def run(self, portrait: Image, frames: Sequence[Frame]) -> list[Image]:
        """The rendered pictures. Raises NoFaceError when the portrait shows no face, WeightsError."""
        with self._stage("load"):
            tracker = main_face_tracker(self.options.faces, self.options.run)
            engine: Engine = ENGINES.backend(self.options.engine).load(
                self.options.run, self.options
            )
            source = self._source(engine, portrait, tracker()(portrait))
        with self._stage("track"):
            follow = tracker()
            faces = [follow(frame.pixels) for frame in frames]  # type: ignore[arg-type]  # trackers take uint16 as well
        with self._stage("motion"):
            store = engine.retarget(
                source, MotionBuffer(engine.observe(frames, faces)), self.options.motion
            )
        with self._stage("render"):
            size = self.options.run.batch_size
            windows = [(i, min(i + size, len(frames))) for i in range(0, len(frames), size)]
            driving = engine.uses_driving_frames
            pictures: list[Image] = []
            for start, stop in windows:
                pictures += engine.render(
                    source, store.window(start, stop), frames[start:stop] if driving else None
                )
        return pictures

    def total(self) -> Timing:
        """Of all stages."""
        return sum(self.stages.values(), Timing())

    def _source(self, engine: Engine, portrait: Image, face: Face | None) -> Any:
        if face is None:
            raise NoFaceError(
                "The source picture of the benchmark shows no face.", "Give another --source."
            )
        return engine.encode_source(portrait, face)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        with timing() as taken:
            yield
        self.stages[name] = self.stages.get(name, Timing()) + taken()


def decode_alone(clip: Path, read: ReadOptions) -> list[Frame]:
    """Reads a clip as the pipeline does; holds all of its frames."""
    with media.read(clip, read) as reader:
        return list(reader)


def encode_alone(frames: Sequence[Frame], target: Path, output: OutputOptions) -> int:
    """Writes frames in memory as the pipeline does; returns their number."""
    first = frames[0]
    with media.write(
        target, first.size, None, output, time_base=first.time_base, rate=Fraction(25)
    ) as out:
        for frame in frames:
            out.write(frame.pixels, frame.pts, frame.duration)
    return out.written


def plain_transcode(clip: Path, frames: int, target: Path, output: OutputOptions) -> int:
    """What an ordinary transcoder does: decoded pictures go to the same encoder as they are, never through RGB.

    The yardstick of the overhead, for the first so many frames. Raises MediaError, OutputError; returns the number of frames.
    """
    info = media.probe(clip)
    plan = plan_encoder("mp4", output, info.size, info.bit_depth > 8)
    form = VideoFormat(
        info.size, plan, info.time_base, info.rate or Fraction(25), info.colour, info.sar
    )
    count = 0
    try:
        with opened(clip) as container, av.open(str(target), "w", format="mp4") as out:
            source = need_picture(container, clip)
            source.thread_type = "AUTO"
            stream = out.add_stream(plan.encoder, rate=form.rate)
            assert isinstance(stream, av.VideoStream)
            configure(stream.codec_context, form)
            for picture in islice(container.decode(source), frames):
                out.mux(stream.encode(picture.reformat(format=plan.pix_fmt)))
                count += 1
            out.mux(stream.encode(None))
    except (av.FFmpegError, OSError) as exc:
        raise unwritable(target, exc) from exc
    return count
