"""`thcli transmit`: the motion of a clip as a stream of a few kbit/s (docs/conferencing.md)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import TransmitOptions
from thcli.core.protocols import Engine
from thcli.engines.backends import ENGINES
from thcli.media.info import MediaInfo
from thcli.motion.codec.format import (
    KINDS,
    MAX_RATE,
    MAX_SIDE,
    SUFFIX,
    StreamError,
    StreamHeader,
    Tag,
    pack,
)
from thcli.pipeline.check_options import check_run
from thcli.pipeline.conference.live_rendering import load_engine
from thcli.pipeline.conference.pictures import PictureReader
from thcli.pipeline.conference.sending import Counts, Sender, create_stream_file, sound_packets
from thcli.pipeline.dry_run import rehearse_transmit
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.tracking import TrackedFrame, track_video

DEFAULTS = TransmitOptions()


def transmit(
    source: str | Path,
    output: str | Path | None = None,
    options: TransmitOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Write the motion of a clip's face, and its sound, as a stream for `receive`.

    The packets of a frame are written before the next frame is read. Report.details has the
    kbit/s of motion, sound and pictures, and the numbers of key frames and pictures.

    Args:
        source: video, folder of images, or '-' for standard input.
        output: file, or '-' for standard output; None for NAME.thc beside the clip.
        options: see `TransmitOptions`.
        on: listener for progress and warnings.

    Raises:
        MediaError: the clip cannot be read.
        NoFaceError: no frame shows a face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: an engine whose motion has no codec, or a motion file as the source.
    """
    check_run(options)
    target = _stream_path(source, output)
    if options.dry_run:
        return rehearse_transmit(transmit, source, target, options, on)
    with Job("transmit", on, options, [source]) as job:
        info = media.probe(job.seekable(source), options.read)
        if info.kind not in ("video", "directory", "image"):
            raise UsageError(f"{source} has no frames to transmit.", "Give a video.")
        engine = _load_engine(options)
        finder = FaceFinder.load(options.find.choosing(), options.run, options.read)
        pictures = PictureReader(finder, job.temp_dir(), options.read.whole)
        with _open_stream(target, options) as out:
            tracked = track_video(info, options.read, finder, job)
            first = next(tracked)
            header = _header(options, engine, info, first)
            out.write(_packed(header))
            sender = Sender(header, options, engine, pictures)
            counter = _send(out, chain([first], tracked), sender, info, job)
            out.write(pack(Tag.END))
        details = _details(sender.counts, float(counter.length))
        written = None if target == "-" else Path(target)
        return job.report(written, counter, faces=1, engine=options.engine, details=details)


def _send(
    out: BinaryIO, tracked: Iterator[TrackedFrame], sender: Sender, info: MediaInfo, job: Job
) -> FrameCounter:
    """Write the packets of all frames, and the sound up to each of them."""
    counter, begin = FrameCounter(), None
    sounds: Iterator[tuple[Fraction, bytes]] = iter(())
    waiting: tuple[Fraction, bytes] | None = None
    for frame, faces, cut in tracked:
        now = frame.pts * frame.time_base
        if begin is None:
            begin = now
            if sender.header.sound:
                kbits, end = sender.options.sound, sender.options.read.end
                sounds = sound_packets(info.path, kbits, info.start + begin, end)
        with job.clock("send", frames=1):
            packets = sender.send(frame, faces, cut=cut)
        for packet in packets:
            out.write(packet)
        counter.add(frame.pts, frame.duration, frame.time_base)
        until = now + frame.duration * frame.time_base - begin
        waiting = _send_sound(out, sounds, waiting, until, sender.counts)
        out.flush()
    return counter


def _send_sound(
    out: BinaryIO,
    sounds: Iterator[tuple[Fraction, bytes]],
    waiting: tuple[Fraction, bytes] | None,
    until: Fraction,
    counts: Counts,
) -> tuple[Fraction, bytes] | None:
    """Write the sound packets before a time; return the first one after it."""
    while (following := waiting or next(sounds, None)) is not None:
        if following[0] >= until:
            return following
        packet = pack(Tag.SOUND, following[1])
        out.write(packet)
        counts.sound += 8 * len(packet)
        waiting = None
    return None


def _header(
    options: TransmitOptions, engine: Engine | None, info: MediaInfo, first: TrackedFrame
) -> StreamHeader:
    frame = first[0]
    has_sound = any(stream.kind == "audio" for stream in info.streams)
    rate = Fraction(info.rate or 0)
    return StreamHeader(
        "mesh" if engine is None else engine.motion_kind,
        frame.size,
        frame.time_base,
        rate if rate <= MAX_RATE else Fraction(0),
        sound=has_sound and options.sound > 0,
        pictures=options.key_frame == "image",
    )


def _packed(header: StreamHeader) -> bytes:
    """Return the header's bytes. Raises UsageError for frames or a unit that no stream has."""
    width, height = header.size
    if max(header.size) > MAX_SIDE:
        raise UsageError(
            f"Frames of {width} x {height} pixels do not fit into a stream: "
            f"a side has at most {MAX_SIDE}.",
            "Make the clip smaller first.",
        )
    try:
        return header.pack()
    except StreamError as exc:
        raise UsageError(
            f"The clip's time stamps count units of {header.time_base} s, which a stream cannot.",
            "Convert the clip to a constant frame rate first.",
        ) from exc


def _load_engine(options: TransmitOptions) -> Engine | None:
    """Load the engine where the sender needs it: for crops, and to see its own pictures.

    Raises UsageError when its motion has no codec.
    """
    ENGINES.backend(options.engine)  # names the known ones
    if options.engine == "mesh" and options.key_frame == "motion":
        return None
    refusal = UsageError(
        f"The motion of the engine {options.engine} has no codec.",
        f"Use --engine {' or '.join(KINDS)}.",
    )
    if not options.engine.startswith(KINDS):  # before its weights are asked for
        raise refusal
    engine = load_engine(options.engine, options.run)
    if engine.motion_kind not in KINDS:
        raise refusal
    return engine


def _details(counts: Counts, seconds: float) -> dict[str, float | int]:
    length = max(seconds, 1e-3)
    return {
        **{
            f"{name}_kbits": round(bits / length / 1000, 3)
            for name, bits in asdict(counts).items()
            if name in ("motion", "sound", "pictures")
        },
        "keys": counts.keys,
        "pictures": counts.sent_pictures,
    }


def _stream_path(source: str | Path, output: str | Path | None) -> str | Path:
    if output is not None:
        return output
    if str(source) == "-":
        raise UsageError(
            "transmit from standard input has no default output.",
            "Add -o FILE (or -o - for a pipe).",
        )
    return Path(source).with_suffix(SUFFIX)


@contextmanager
def _open_stream(target: str | Path, options: TransmitOptions) -> Iterator[BinaryIO]:
    created = create_stream_file(target, overwrite=options.overwrite)
    if created is None:
        yield sys.stdout.buffer
        return
    with created as file, file.partial.open("wb") as out:
        yield out
