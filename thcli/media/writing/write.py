"""`write`: frames to a video, animation, image, folder or standard output, atomically."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from thcli.core.errors import OutputError
from thcli.core.events import Listener, Warned, silent
from thcli.core.options import OutputOptions
from thcli.core.stream import Channel
from thcli.media.failures import to_output_error
from thcli.media.info import Colour, MediaInfo
from thcli.media.parts import PartComplete, current_part
from thcli.media.writing.codecs import EncoderPlan, plan_encoder
from thcli.media.writing.encoder import VideoFormat
from thcli.media.writing.finishing import (
    Finishing,
    output_size,
    plan_finishing,
    plan_sharing,
    warn_of_squeezed_pixels,
)
from thcli.media.writing.journal import Journal
from thcli.media.writing.mux import ContainerSettings
from thcli.media.writing.plan import WritePlan, companion_sources
from thcli.media.writing.provenance import output_metadata
from thcli.media.writing.segments import SegmentSink
from thcli.media.writing.sinks import ContainerSink, FolderSink, ImageSink, Pixels, Sink
from thcli.media.writing.target import OutputTarget
from thcli.media.writing.timing import Timeline, container_time_base, exact_frame_rate
from thcli.media.writing.unread import refuse_unread_output_options

_MAX_BYTES = 256 * 2**20  # frames in the queue to the encoder
_QUEUE = 16  # frames, at most
_WIDELY_PLAYED = 3840 * 2160  # pixels
_DEFAULT = OutputOptions()
_STILL_COLOUR = Colour(0, 2, 1, 13)  # sRGB


_NO_PLAN = WritePlan()


class Writer:
    """An open output, as a context manager: encodes in its own thread.

    At the end of the block the output gets its final name; after an exception it is removed.

    path: the final name.
    done: frames that an interrupted run has already encoded (--resume). Write the following ones.
    written: frames written, those of the interrupted run included.
    """

    def __init__(
        self,
        target: OutputTarget,
        sink: Sink,
        timeline: Timeline[Pixels],
        size: tuple[int, int],
        journal: Journal | None,
        finishing: Finishing,
    ) -> None:
        self.path = target.path
        self._finishing = finishing
        self.done = self.written = journal.done if journal else 0
        self._target, self._sink, self._timeline, self._journal = target, sink, timeline, journal
        self._part = current_part() if journal else None
        self._size = size
        frame_bytes = max(1, size[0] * size[1] * 3)
        depth = max(2, min(_QUEUE, _MAX_BYTES // frame_bytes))
        self._queue: Channel[tuple[Pixels, int, int]] = Channel(depth)
        self._error: BaseException | None = None
        self._cancelled = self._begun = False
        self._thread = threading.Thread(target=self._work, name="encode", daemon=True)

    def write(self, pixels: Pixels, pts: int, duration: int = 0) -> None:
        """Queue the next frame.

        Args:
            pixels: (H, W, 3) RGB, uint8 or uint16; not to be changed afterwards.
            pts, duration: in units of the input's time base; duration 0 when unknown.

        Raises:
            OutputError: an earlier frame could not be written.
            ValueError: pixels of another size or type.
            PartComplete: the frames of the part are written (`media.parts`).
        """
        if self._part is not None and self.written == self._part.stop:
            raise PartComplete
        size = (pixels.shape[1], pixels.shape[0])
        if size != self._size or pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                f"expected uint8 or uint16 of size {self._size}, got {pixels.dtype} of {size}"
            )
        if not self._queue.put((pixels, pts, duration)):
            self._thread.join()
            raise self._failure()
        self.written += 1

    def __enter__(self) -> Writer:
        try:
            if self._journal is None:
                self._target.guard()
            else:
                self._journal.start()
        except BaseException:
            self._sink.abort()
            raise
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
                if self._part is not None:
                    raise PartComplete
                self._sign()
                if self._journal is not None:
                    self._journal.record_result(self._target.partial)
                self._target.commit()
                if self._journal is not None:
                    self._journal.remove()
        except BaseException:
            self._give_up()
            raise
        if error is not None:
            self._give_up()

    def _sign(self) -> None:
        try:
            self._finishing.sign(self._target.partial, self.path.suffix)
        except OSError as exc:
            raise to_output_error(self._target.name, exc) from exc

    def _give_up(self) -> None:
        self._cancelled = True
        if self._journal is None:
            self._queue.stop()
        else:
            self._queue.finish()  # the queued frames may complete a segment, which is kept
        self._thread.join()
        self._target.abort()
        if self._journal is not None:
            self._journal.release()

    def _failure(self) -> BaseException:
        error = self._error
        if isinstance(error, (av.FFmpegError, OSError)):
            mapped = to_output_error(self._target.name, error)
            mapped.__cause__ = error
            return mapped
        if error is not None:
            return error
        return OutputError(f"{self._target.name} was closed before its end.")

    def _work(self) -> None:
        """Encode and write the queued frames; the main function of the thread."""
        complete = False
        try:
            self._encode()
            if not self._cancelled:
                self._sink.finish()
                complete = True
        except BaseException as exc:  # noqa: BLE001  - not swallowed: it is raised in the caller
            self._error = exc
        finally:
            self._queue.stop()
            if not complete:
                self._sink.abort()

    def _encode(self) -> None:
        taken = self.done
        for pixels, pts, duration in self._queue:
            if self._cancelled and self._journal is None:
                return
            taken += 1
            finished = self._finishing(pixels)
            self._sink_frames(self._timeline.push(finished, pts, duration))
            self._sink.checkpoint(taken - self._timeline.holds_back, self._timeline.state)
        if self._cancelled:
            return
        self._sink_frames(self._timeline.end())
        self._sink.checkpoint(taken, self._timeline.state)
        if taken == 0:
            raise OutputError(f"{self._target.name} would be empty: no frame was written.")

    def _sink_frames(self, frames: Iterator[tuple[Pixels, int, int]]) -> None:
        for pixels, tick, duration in frames:
            if not self._begun:
                self._sink.begin(self._timeline.lead, tick * self._timeline.unit)
                self._begun = True
            self._sink.write(pixels, tick, duration)


def write(
    target: str | Path,
    size: tuple[int, int],
    like: MediaInfo | None = None,
    options: OutputOptions = _DEFAULT,
    plan: WritePlan = _NO_PLAN,
    *,
    on: Listener = silent,
) -> Writer:
    """Open an output.

    Args:
        target: a video by its file extension, a GIF or animated WebP, one image, a folder of PNG
            files, or '-' for fragmented mp4 on standard output.
        size: (width, height) of the frames.
        like: media with the colour tags, bit depth and pixel aspect ratio of the frames.
        options: codec, quality, frame rate, audio.
        plan: timing, companion streams and origin.
        on: receives warnings.

    Raises:
        UsageError: unknown encoder or file extension, or an option that the output does not read.
        OutputError: the target exists or cannot be written.
        MediaError: the file of --audio has no audio.
    """
    output = OutputTarget(target, options.overwrite)
    refuse_unread_output_options(output, options)
    options, like = plan_sharing(output, options, like, on)
    final_size = output_size(size, options)
    lead = plan.drive or like
    time_base = plan.time_base or (lead.time_base if lead else Fraction(1, 25))
    fps = exact_frame_rate(options.fps) if options.fps else None
    rate = fps or plan.rate or (lead.rate if lead else None) or Fraction(25)
    output.check(plan.expected_frames(rate) * final_size[0] * final_size[1])
    deep = like is not None and like.bit_depth > 8 and like.kind != "image"
    is_video = output.kind in ("container", "stdout")
    encoder = (
        plan_encoder(output.muxer, options, final_size, deep) if is_video else EncoderPlan("", "")
    )
    if is_video:
        _warn_of_losses(encoder, like, final_size, deep, on)
        if like is not None and like.size == size:
            warn_of_squeezed_pixels(output.muxer, encoder.encoder, like, on)
    elif output.kind == "folder" and not output.path.is_dir() and not output.name.endswith("/"):
        frames = f"{output.name} has no file extension: its frames are written as PNG files"
        on(Warned(f"{frames} into a folder of this name ({output.name}.mp4 would be a video)."))
    video_format = VideoFormat(
        final_size,
        encoder,
        container_time_base(output.muxer, 1 / fps if fps else time_base, rate),
        rate,
        like.colour if like else _STILL_COLOUR,
        like.sar if like and like.size == size else Fraction(1),
        options.threads,
    )
    journal = _open_journal(output, options, plan, (video_format, time_base), on)
    timeline: Timeline[Pixels] = Timeline(
        time_base,
        video_format.time_base,
        fps,
        plan.span.start > 0,
        journal.state if journal else None,
    )
    metadata = output_metadata(lead.metadata if lead else {}, plan.provenance)
    try:
        finishing = plan_finishing(output, options, metadata, plan.provenance, final_size)
        has_companions = is_video and output.muxer not in ("gif", "webp")
        companions = companion_sources(options, plan, on) if has_companions else ()
        settings = ContainerSettings(
            output.muxer, metadata, companions, output.kind == "stdout", on
        )
        sink = _open_sink(output, settings, video_format, journal)
    except BaseException as exc:
        output.abort()
        if isinstance(exc, (av.FFmpegError, OSError)):
            raise to_output_error(output.name, exc) from exc
        raise
    return Writer(output, sink, timeline, size, journal, finishing)


def _open_journal(
    output: OutputTarget,
    options: OutputOptions,
    plan: WritePlan,
    form: tuple[VideoFormat, Fraction],
    on: Listener,
) -> Journal | None:
    """Open the journal of --resume, else guard the temporary file against a kill.

    form: video format, and time base of the time stamps to write.
    """
    if options.resume and output.kind == "container" and output.muxer not in ("gif", "webp"):
        parts = (plan.fingerprint, repr(form), repr(plan.span), options.audio)
        libraries = repr((av.__version__, av.library_versions))
        part = current_part()
        path, start = (part.path(output.path), part.start) if part else (output.path, 0)
        journal = Journal.open(path, (*parts, libraries), on, start)
        output.partial = journal.partial
        return journal
    if options.resume:
        on(Warned(f"--resume does not apply to {output.name}: it is written in one step."))
    return None


def _open_sink(
    output: OutputTarget,
    settings: ContainerSettings,
    video_format: VideoFormat,
    journal: Journal | None,
) -> Sink:
    comment = settings.metadata.get("comment", "")
    if output.kind == "image":
        return ImageSink(output.partial, output.path, comment)
    if output.kind == "folder":
        return FolderSink(output.partial, comment)
    if journal is not None:
        whole = current_part() is None
        return SegmentSink(output.partial, settings, video_format, journal, muxes=whole)
    return ContainerSink(None if settings.piped else output.partial, settings, video_format)


def _warn_of_losses(
    encoder: EncoderPlan, like: MediaInfo | None, size: tuple[int, int], deep: bool, on: Listener
) -> None:
    if deep and not encoder.is_deep:
        hdr = like is not None and like.colour.is_hdr
        need = "HDR needs 10 bits" if hdr else "The input has more than 8 bits"
        hint = "choose another --codec or container to keep them"
        on(Warned(f"{need}, but {encoder.encoder} writes 8: {hint}."))
    if size[0] * size[1] > _WIDELY_PLAYED:
        megapixels = size[0] * size[1] / 1e6
        on(
            Warned(
                f"The output has {megapixels:.0f} megapixels a frame, which few players show "
                "smoothly: --share writes at most 1920x1080."
            )
        )
    if "444" in encoder.pix_fmt and (size[0] % 2 or size[1] % 2):
        kept = f"The odd size {size[0]}x{size[1]} is kept with full chroma ({encoder.pix_fmt})"
        on(Warned(f"{kept}, which some hardware players do not support."))
