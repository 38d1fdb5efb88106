"""Footage of a lip-sync: which frame of a video is shown when, and which frames are spoken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice

import numpy as np
import numpy.typing as npt

from thcli.core.errors import UsageError
from thcli.core.options import FootageOptions, ReadOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import Array, Frame, Motion, Timestamps
from thcli.media.info import MediaInfo
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.span import last_duration
from thcli.motion.file.windows import windows
from thcli.pipeline.job.job import Job

BACKWARD_BYTES = 128 * 2**20  # of decoded frames that are shown in reverse order
EDGE_FADE = 0.12  # seconds over which the speech begins and ends inside of a video

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Footage:
    """Frames of a video in the order in which they are shown.

    info, span: the video and the range of it that is read.
    own_pts: (N,) time stamps of the frames that are read.
    order: (T,) number of the frame that is shown.
    pts, durations: (T,) when and for how long, in units of time_base.
    first, stop: shown frames first..stop (exclusive) are spoken.
    speech_pts: (stop - first,) their times in units of speech_base since the speech began.
    ends_with_video: the video ends the result, before or after the speech.
    """

    info: MediaInfo
    span: ReadOptions
    own_pts: Timestamps
    order: Indices
    pts: Timestamps
    durations: Timestamps
    first: int
    stop: int
    speech_pts: Timestamps
    speech_base: Fraction
    ends_with_video: bool

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of the time stamps."""
        return self.info.time_base

    @property
    def seconds(self) -> Fraction:
        """Length of what is shown."""
        return int(self.pts[-1] + self.durations[-1] - self.pts[0]) * self.time_base

    def fades(self) -> Array:
        """Return the share of the speech in each spoken frame, (stop - first,) in 0..1.

        It rises and falls where frames that are not spoken adjoin.
        """
        seconds = self.speech_pts * float(self.speech_base)
        weight = np.ones(len(seconds))
        if self.first > 0:
            weight = np.minimum(weight, (seconds - seconds[0] + 1e-3) / EDGE_FADE)
        if self.stop < len(self.order):
            weight = np.minimum(weight, (seconds[-1] - seconds + 1e-3) / EDGE_FADE)
        return np.clip(weight, 0, 1)


def plan_footage(
    info: MediaInfo, span: ReadOptions, own: MotionFile, speech: Fraction, options: FootageOptions
) -> Footage:
    """Plan which frames are shown with a speech of `speech` seconds.

    Args:
        info: of the video.
        span: range of it that `own` covers.
        own: motion with the time stamps of its frames.
        speech: seconds.
        options: loop, pad and place.

    Raises:
        UsageError: the speech would begin after the end of the video.
    """
    own_pts = np.concatenate([window.pts for window in windows(own)]).astype(np.int64)
    last = last_duration(own, len(own)) or 1
    own_durations = np.append(np.diff(own_pts), last)
    base = info.time_base
    order = np.arange(len(own_pts))
    if options.loop != "none":
        order = _continue_order(order, own_durations, int(-(-speech // base)), options.loop)
    durations = own_durations[order]
    pts = own_pts[0] + np.append(0, np.cumsum(durations)[:-1])
    place = Fraction(repr(options.place or 0.0))
    begin = place / base
    ticks = (pts - pts[0]).astype(np.int64)
    first = int(np.searchsorted(ticks, int(-(-begin // 1))))
    if first == len(order):
        raise UsageError(
            f"--from {float(place):g} is after the last frame of {info.path}.",
            f"Its frames end at {float(int(ticks[-1]) * base):.2f} s.",
        )
    stop = int(np.searchsorted(ticks, int(-(-(place + speech) / base // 1))))
    stop = max(stop, first + 1)
    ends = int(ticks[-1] + durations[-1]) * base
    ends_with_video = options.keeps_rest or (options.loop == "none" and ends < speech)
    if not options.keeps_rest:
        order, pts, durations = order[:stop], pts[:stop], durations[:stop]
    fine = begin.denominator
    speech_pts = ticks[first:stop] * fine - begin.numerator
    shown = (order, pts, durations, first, stop)
    return Footage(info, span, own_pts, *shown, speech_pts, base / fine, ends_with_video)


def _continue_order(order: Indices, durations: Timestamps, ticks: int, loop: str) -> Indices:
    """Repeat an order of frames until it lasts for `ticks` or longer."""
    passes, total, forward = [order], int(durations.sum()), True
    backward = order[-2:0:-1]
    while total < ticks:
        forward = not forward if loop == "pingpong" and len(backward) else True
        passes.append(order if forward else backward)
        total += int(durations[passes[-1]].sum())
    return np.concatenate(passes)


@dataclass(frozen=True, slots=True)
class ShownMotion:
    """Motion of the spoken frames in the order in which they are shown, as a MotionStore.

    own: motion of the video's frames.
    footage: the order.
    weight: (stop - first,) share of the change in each frame.
    """

    own: MotionStore
    footage: Footage
    weight: Array

    @property
    def kind(self) -> str:
        """See `MotionStore`."""
        return self.own.kind

    def __len__(self) -> int:
        return self.footage.stop - self.footage.first

    def window(self, start: int, stop: int) -> Motion:
        """Read frames start..stop (exclusive), limited to the clip."""
        start, stop = max(0, min(start, len(self))), max(0, min(stop, len(self)))
        footage, rows = self.footage, slice(start, max(start, stop))
        begin = footage.first + start
        shown = footage.order[footage.first : footage.stop][rows]
        if not len(shown):
            return self.own.window(0, 0)
        parts = [
            self.own.window(int(min(run[0], run[-1])), int(max(run[0], run[-1])) + 1)[
                :: 1 if run[0] <= run[-1] else -1
            ]
            for run in split_runs(shown)
        ]
        arrays = {
            name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays
        }
        arrays["weight"] = self.weight[rows]
        if "cut" in arrays:
            before = int(footage.order[begin - 1]) if begin > 0 else int(shown[0])
            arrays["cut"] = self._cuts(np.append(before, shown))
        valid = np.concatenate([part.valid for part in parts])
        pts = footage.pts[begin : begin + len(shown)]
        return Motion(self.kind, pts, footage.time_base, valid, arrays, parts[0].constants)

    def _cuts(self, shown: Indices) -> npt.NDArray[np.bool_]:
        """Return whether each frame after the first begins a scene as it is shown."""
        later = np.maximum(shown[1:], shown[:-1])
        jumps = np.abs(np.diff(shown)) > 1
        low = int(later.min())
        recorded = np.asarray(self.own.window(low, int(later.max()) + 1).arrays["cut"], bool)
        return np.asarray(jumps | (recorded[later - low] & (np.diff(shown) != 0)))


def split_runs(order: Indices) -> list[Indices]:
    """Split an order of frames into runs that only ascend or only descend by one."""
    runs, begin, direction = [], 0, 0
    for i, step in enumerate(np.diff(order).tolist()):
        if abs(step) != 1 or direction not in (0, step):
            runs.append(order[begin : i + 1])
            begin, direction = i + 1, 0
        else:
            direction = step
    return [*runs, order[begin:]]


def shown_frames(footage: Footage, job: Job) -> Iterator[Frame]:
    """Yield all frames in the order in which they are shown, with their new time stamps."""
    number = 0
    for run in split_runs(footage.order):
        ascends = len(run) == 1 or run[0] < run[-1]
        for frame in (_ascending if ascends else _descending)(footage, run, job):
            yield replace(
                frame,
                pts=int(footage.pts[number]),
                index=number,
                duration=int(footage.durations[number]),
            )
            number += 1


def _ascending(footage: Footage, run: Indices, job: Job) -> Iterator[Frame]:
    with job.frames(footage.info.path, footage.span) as frames:
        wanted = islice(frames, int(run[0]), int(run[-1]) + 1)
        yield from job.clock.time_each("decode again", wanted)


def _descending(footage: Footage, run: Indices, job: Job) -> Iterator[Frame]:
    """Yield a descending run, part by part, each decoded forward."""
    width, height = footage.info.size
    samples = 1 + (footage.info.bit_depth > 8) + footage.info.colour.is_hdr
    size = max(4, BACKWARD_BYTES // max(1, width * height * 3 * samples))
    pts, base = footage.own_pts, footage.time_base
    for begin in range(0, len(run), size):
        part = run[begin : begin + size]
        low, high = int(part[-1]), int(part[0])
        # between two frames, so that rounding to float moves none of them in or out
        start, end = (
            float(Fraction(int(pts[max(i, 1) - 1] + pts[i]), 2) * base - footage.info.start)
            for i in (low, high + 1)
        )
        span = replace(footage.span, start=start if low else footage.span.start, end=end)
        with job.frames(footage.info.path, span) as frames:
            yield from reversed(list(frames))
