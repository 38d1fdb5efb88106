"""`write`: frames into whatever the target's name asks for, encoded by a thread of its own, complete or not at all."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

from thcli.core.errors import MediaError, OutputError
from thcli.core.events import Listener, Warned, silent
from thcli.core.options import OutputOptions, ReadOptions
from thcli.core.stream import Channel
from thcli.media.failures import unwritable
from thcli.media.info import Colour, MediaInfo
from thcli.media.reading.probe import probe
from thcli.media.reading.video import seconds
from thcli.media.writing.codecs import EncoderPlan, plan_encoder
from thcli.media.writing.companions import Part
from thcli.media.writing.encoder import VideoFormat
from thcli.media.writing.mux import Wrapping
from thcli.media.writing.provenance import Provenance, tags
from thcli.media.writing.segments import Journal, SegmentSink
from thcli.media.writing.sinks import ContainerSink, FolderSink, ImageSink, Pixels, Sink
from thcli.media.writing.target import Target
from thcli.media.writing.timing import Timeline, container_unit, exact_rate

_MOST_BYTES = 256 * 2**20  # of frames that wait to be encoded
_QUEUE = 16
_DEFAULT = OutputOptions()
_WHOLE = ReadOptions()


class Writer:
    """An output that is being written. Use it with `with`: it is moved to its name at the end, or removed when anything fails.

    done: frames that an earlier, interrupted run has finished already (--resume); write the ones after them.
    written: frames given to it, those included.  path: where the output will be.
    """

    def __init__(
        self,
        target: Target,
        sink: Sink,
        timeline: Timeline[Pixels],
        size: tuple[int, int],
        journal: Journal | None,
    ) -> None:
        self.path = target.path
        self.done = self.written = journal.done if journal else 0
        self._target, self._sink, self._timeline, self._journal = target, sink, timeline, journal
        self._size = size
        bytes_each = max(1, size[0] * size[1] * 3)
        self._queue: Channel[tuple[Pixels, int, int]] = Channel(
            max(2, min(_QUEUE, _MOST_BYTES // bytes_each))
        )
        self._error: BaseException | None = None
        self._cancelled = False
        self._thread = threading.Thread(target=self._work, name="encode", daemon=True)

    def write(self, pixels: np.ndarray[Any, Any], pts: int, duration: int = 0) -> None:
        """Takes the next frame: (H, W, 3) RGB uint8 or uint16, which must not be changed afterwards; pts, duration in units of
        the time base that `write` was given, duration 0 when unknown.

        Raises OutputError when an earlier frame could not be written.
        """
        if (pixels.shape[1], pixels.shape[0]) != self._size or pixels.dtype not in (
            np.uint8,
            np.uint16,
        ):
            raise ValueError(
                f"expected {self._size} pixels of uint8 or uint16, got {pixels.shape} {pixels.dtype}"
            )
        if not self._queue.put((pixels, pts, duration)):
            self._thread.join()
            raise self._failure()
        self.written += 1

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._queue.finish()
                self._thread.join()
                if self._error is not None:
                    raise self._failure()
                self._target.commit()
                if self._journal is not None:
                    self._journal.remove()
        except BaseException:
            self._give_up()
            raise
        if error is not None:
            self._give_up()

    def _give_up(self) -> None:
        self._cancelled = True
        if self._journal is None:
            self._queue.stop()
        else:
            self._queue.finish()  # what was rendered may complete a segment, which is kept
        self._thread.join()
        self._target.abort()

    def _failure(self) -> BaseException:
        error = self._error
        if isinstance(error, (av.FFmpegError, OSError)):
            mapped = unwritable(self._target.name, error)
            mapped.__cause__ = error
            return mapped
        return (
            error
            if error is not None
            else OutputError(f"{self._target.name} was closed before its end.")
        )

    def _work(self) -> None:
        """The thread: everything between the pixels and the disk."""
        complete = False
        try:
            self._encode()
            if not self._cancelled:
                self._sink.finish()
                complete = True
        except BaseException as exc:  # noqa: BLE001  - not swallowed: it crosses over to the caller
            self._error = exc
        finally:
            self._queue.stop()
            if not complete:
                self._sink.abort()

    def _encode(self) -> None:
        taken, begun = self.done, False
        for pixels, pts, duration in self._queue:
            if self._cancelled and self._journal is None:
                return
            taken += 1
            for picture, tick, length in self._timeline.push(pixels, pts, duration):
                if not begun:
                    self._sink.begin(self._timeline.lead, tick * self._timeline.unit)
                    begun = True
                self._sink.write(picture, tick, length)
            self._sink.mark(taken - self._timeline.holds_back, self._timeline.moment)
        if self._cancelled:
            return
        for picture, tick, length in self._timeline.end():
            if not begun:
                self._sink.begin(self._timeline.lead, tick * self._timeline.unit)
                begun = True
            self._sink.write(picture, tick, length)
        self._sink.mark(taken, self._timeline.moment)
        if taken == 0:
            raise OutputError(f"{self._target.name} would be empty: there was no frame to write.")


def write(
    target: str | Path,
    size: tuple[int, int],
    like: MediaInfo | None = None,
    options: OutputOptions = _DEFAULT,
    *,
    time_base: Fraction | None = None,
    rate: Fraction | None = None,
    drive: MediaInfo | None = None,
    source: MediaInfo | None = None,
    span: ReadOptions = _WHOLE,
    source_span: ReadOptions = _WHOLE,
    frames: int | None = None,
    provenance: Provenance | None = None,
    fingerprint: str = "",
    on: Listener = silent,
) -> Writer:
    """Opens an output: a video (by its ending), a GIF or animated WebP, one image, a folder of PNGs, or '-' (fragmented mp4).

    size: (width, height) of the frames.  like: whose colour tags, bit depth and pixel shape the frames have.  time_base, rate: of
    the time stamps that will be written; those of `drive`, else of `like`, by default.  drive: whose sound, subtitles, chapters
    and metadata go along, cut to `span` (a span that does not begin at 0 begins the output at 0).  source: whose sound it is
    with --audio source, cut to `source_span`.  frames: how many will come, if known.  fingerprint: of all that decides the pixels, for --resume.
    Raises UsageError for an encoder or ending that there is not, OutputError when the target exists or cannot be written.
    """
    place = Target(target, options.overwrite)
    place.check((frames or 0) * size[0] * size[1])
    lead = drive or like
    base = time_base or (lead.time_base if lead else Fraction(1, 25))
    fps = exact_rate(options.fps) if options.fps else None
    pace = fps or rate or (lead.rate if lead else None) or Fraction(25)
    deep = like is not None and like.bit_depth > 8 and like.kind != "image"
    unit = container_unit(place.muxer, 1 / fps if fps else base, pace)
    moving = place.kind in ("container", "stdout")
    plan = plan_encoder(place.muxer, options, size, deep) if moving else EncoderPlan("", "")
    if moving:
        _warn(plan, like, size, deep, on)
    same_shape = like is not None and like.size == size
    form = VideoFormat(
        size,
        plan,
        unit,
        pace,
        like.colour if like else Colour(0, 2, 1, 13),
        like.sar if like and same_shape else Fraction(1),
        options.threads,
    )
    words = tags(lead.metadata if lead else {}, provenance)
    journal = None
    if options.resume:
        journal = Journal.open(
            place, (fingerprint, repr(form), repr(base), repr(span), options.audio), on
        )
    timeline: Timeline[Pixels] = Timeline(
        base, unit, fps, span.start > 0, journal.moment if journal else None
    )
    comment = words.get("comment", "")
    try:
        sink: Sink
        if moving:
            parts = (
                _parts(options.audio, drive, source, span, source_span, on)
                if place.muxer not in ("gif", "webp")
                else ()
            )
            wrapping = Wrapping(place.muxer, words, parts, place.kind == "stdout", on)
            if journal is not None:
                sink = SegmentSink(place.partial, wrapping, form, journal)
            else:
                sink = ContainerSink(
                    None if place.kind == "stdout" else place.partial, wrapping, form
                )
        elif place.kind == "image":
            sink = ImageSink(place.partial, place.path, comment)
        else:
            sink = FolderSink(place.partial, comment)
    except (av.FFmpegError, OSError) as exc:
        place.abort()
        if journal is not None:
            journal.remove_if_empty()
        raise unwritable(place.name, exc) from exc
    except BaseException:
        place.abort()
        if journal is not None:
            journal.remove_if_empty()
        raise
    return Writer(place, sink, timeline, size, journal)


def _warn(
    plan: EncoderPlan, like: MediaInfo | None, size: tuple[int, int], deep: bool, on: Listener
) -> None:
    if deep and not plan.deep:
        what = (
            "HDR needs 10 bits, but"
            if like and like.colour.is_hdr
            else "The input has more than 8 bits, but"
        )
        on(
            Warned(
                f"{what} {plan.encoder} writes 8: choose another --codec or container to keep them."
            )
        )
    if "444" in plan.pix_fmt and (size[0] % 2 or size[1] % 2):
        on(
            Warned(
                f"The odd size {size[0]}x{size[1]} is kept with full chroma ({plan.pix_fmt}), which some hardware players do not show."
            )
        )


def _parts(
    audio: str,
    drive: MediaInfo | None,
    source: MediaInfo | None,
    span: ReadOptions,
    source_span: ReadOptions,
    on: Listener,
) -> tuple[Part, ...]:
    """What goes along, from which file."""
    found: list[Part] = []
    if drive is not None and drive.streams and drive.path.is_file():
        begin, stop = _ends(drive, span)
        if (
            drive.kind == "audio"
        ):  # has no picture whose time stamps it keeps to: it begins with the output's
            begin = begin or drive.start or None
        found.append(
            Part(
                drive.path, audio == "drive", start=begin, stop=stop, to_start=drive.kind == "audio"
            )
        )
    if audio == "source":
        if source is not None and source.audio:
            begin, stop = _ends(source, source_span)
            found.append(
                Part(
                    source.path,
                    others=False,
                    start=begin,
                    stop=stop,
                    to_start=True,
                    ends_with_picture=True,
                )
            )
        else:
            on(Warned("--audio source: the source has no sound, so the output has none."))
    elif audio not in ("drive", "none"):
        sound = probe(audio)
        if not sound.audio:
            raise MediaError(
                f"{audio} has no sound.", "Give a file with an audio track to --audio."
            )
        found.append(
            Part(sound.path, others=False, first_only=True, to_start=True, ends_with_picture=True)
        )
    return tuple(found)


def _ends(info: MediaInfo, span: ReadOptions) -> tuple[Fraction | None, Fraction | None]:
    """Where a span begins and ends on a file's own time line; None: with the file."""
    return (
        info.start + seconds(span.start) if span.start else None,
        info.start + seconds(span.end) if span.end is not None else None,
    )
