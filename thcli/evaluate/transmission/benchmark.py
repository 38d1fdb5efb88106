"""`thcli eval transmit`: the motion codec beside video codecs on the same clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import exp, log
from pathlib import Path
from time import process_time
from typing import Any

from thcli.core.events import Event, Listener, Warned, silent
from thcli.core.options import (
    EvaluateOptions,
    KeyFrame,
    OutputOptions,
    ReceiveOptions,
    TransmitEvaluateOptions,
    TransmitOptions,
)
from thcli.core.temp_folders import temporary_folder
from thcli.evaluate.benchmarks.reenactment.reenact import (
    MeasureSetup,
    evaluate_videos,
    limit_frames,
    read_frame,
)
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.evaluate.transmission.video_codecs import encode_near
from thcli.pipeline.receive import receive
from thcli.pipeline.transmit import transmit

SHOWN = ("pfd", "csim", "l1", "akd")  # of the face, in this order
PLAIN, WITH_PICTURE = "motion", "motion + picture"


@dataclass(frozen=True, slots=True)
class Point:
    """One coding of a clip.

    clip, codec: names.
    kbits: kbit/s without sound.
    note: how it was coded.
    quality: metric -> value in the face.
    cost: processor time a frame in ms of sender and receiver, None for a video codec.
    """

    clip: str
    codec: str
    kbits: float
    note: str
    quality: Mapping[str, float | None]
    cost: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class _Coded:
    """A coded clip; see `Point`. path: what the receiver sees."""

    path: Path
    kbits: float
    note: str
    cost: tuple[float, float] | None = None


def evaluate_transmission(
    name: str,
    clip: Path,
    options: TransmitEvaluateOptions,
    sending: TransmitOptions,
    measures: MeasureSetup,
    on: Listener = silent,
) -> list[Point]:
    """Code a clip by all codecs and measure what is received.

    The receiver of the motion alone has the clip's first frame as its picture. Each video codec
    gets the given multiples of the two bitrates of the motion codec.

    Args:
        name: of the clip in the report.
        clip: video of one talking head.
        options: codecs, multiples, frames.
        sending: of the motion codec; its range is that of the clip.
        measures: what is measured.
        on: receives progress events.

    Raises:
        ThcliError: as `transmit`, `receive` and the metrics.
    """

    def without_warnings(event: Event) -> None:  # of smaller frames, which the table names
        if not isinstance(event, Warned):
            on(event)

    read = limit_frames(clip, sending.read, options.frames)
    with temporary_folder() as folder:
        coded: dict[str, _Coded] = {}
        kinds: dict[str, KeyFrame] = {PLAIN: "motion"}
        if options.pictures:
            kinds[WITH_PICTURE] = "image"
        for label, key_frame in kinds.items():
            job = replace(sending, key_frame=key_frame, read=read, sound=0.0)
            coded[label] = _motion(clip, job, folder, label, on)
        bases = [sent.kbits for sent in coded.values()]
        for codec in options.codec_names:
            for kbits in sorted({round(base * m, 3) for base in bases for m in options.multiples}):
                path = folder / f"{codec}-{kbits}.mkv"
                video = encode_near(clip, read, codec, kbits, path)
                size = f", sides / {video.scale}" if video.scale > 1 else ""
                label = f"{codec} {len(coded)}"
                coded[label] = _Coded(path, video.kbits, f"crf {video.crf}{size}")
        found = evaluate_videos(
            clip,
            {label: sent.path for label, sent in coded.items()},
            replace(measures, metrics=[m for m in measures.metrics if m.name in SHOWN]),
            EvaluateOptions(),
            read,
            without_warnings,
        )
    return [
        Point(
            name,
            label if sent.cost else label.split()[0],
            round(sent.kbits, 2),
            sent.note,
            {shown: found.rows[label].values["face"].get(shown) for shown in SHOWN},
            sent.cost,
        )
        for label, sent in coded.items()
    ]


def _motion(clip: Path, job: TransmitOptions, folder: Path, label: str, on: Listener) -> _Coded:
    """Transmit and receive a clip."""
    stream, video = folder / f"{label}.thc", folder / f"{label}.mkv"
    begun = process_time()
    sent = transmit(clip, stream, job, on)
    sending = 1000 * (process_time() - begun) / sent.frames
    picture = None
    if job.key_frame == "motion":
        picture = folder / "picture.png"
        save_image(picture, read_frame(clip, job.read, 0))
    output = OutputOptions(codec="ffv1", audio="none")
    receiving = ReceiveOptions(find=job.find, run=job.run, output=output, read=job.read.whole)
    begun = process_time()
    receive(picture, stream, video, receiving, on)
    rendering = 1000 * (process_time() - begun) / sent.frames
    details = sent.details
    kbits = details["motion_kbits"] + details["pictures_kbits"]
    note = f"{details['keys']} key frames, {details['pictures']} pictures"
    return _Coded(video, kbits, note, (round(sending, 1), round(rendering, 1)))


def equal_quality(points: Sequence[Point], metric: str) -> dict[str, float | None]:
    """Return the kbit/s at which each video codec reaches the received motion's quality.

    Interpolated between the codec's points in the logarithm of the bitrate; None where all of its
    points are better or all are worse.
    """
    wanted = next(point for point in points if point.codec == PLAIN).quality[metric]
    found: dict[str, float | None] = {}
    for codec in dict.fromkeys(p.codec for p in points if p.codec not in (PLAIN, WITH_PICTURE)):
        pairs = [(p.kbits, p.quality[metric]) for p in points if p.codec == codec]
        curve = sorted((kbits, value) for kbits, value in pairs if value is not None)
        found[codec] = None
        for (low, a), (high, b) in pairwise(curve):
            if wanted is not None and min(a, b) <= wanted <= max(a, b) and a != b:
                share = (wanted - a) / (b - a)
                found[codec] = round(exp(log(low) + share * (log(high) - log(low))), 2)
                break
    return found


def report(points: Sequence[Point], command: str) -> dict[str, Any]:
    """Return the object of `--json`. command: the command line."""
    clips = list(dict.fromkeys(point.clip for point in points))
    return {
        "command": "eval transmit",
        "run": command,
        "delay": "no frame waits for a later one, with any of the codecs",
        "points": [
            {
                "clip": p.clip,
                "codec": p.codec,
                "kbits": p.kbits,
                "note": p.note,
                **p.quality,
                "cpu_ms": None
                if p.cost is None
                else dict(zip(("send", "receive"), p.cost, strict=True)),
            }
            for p in points
        ],
        "equal_quality": {
            clip: {
                metric: equal_quality([p for p in points if p.clip == clip], metric)
                for metric in ("pfd", "csim")
            }
            for clip in clips
        },
    }


def table(points: Sequence[Point]) -> tuple[list[str], list[list[str]]]:
    """Return heading and lines for people."""
    lines = [
        [
            p.clip,
            p.codec,
            f"{p.kbits:.2f}",
            *("-" if p.quality[m] is None else f"{p.quality[m]:.3f}" for m in SHOWN),
            "-" if p.cost is None else "{:.0f} + {:.0f}".format(*p.cost),
            p.note,
        ]
        for p in points
    ]
    return ["clip", "codec", "kbit/s", *SHOWN, "CPU ms a frame", "coding"], lines
