"""Plan of an output: timing, companion streams and origin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from thcli.core.errors import MediaError
from thcli.core.events import Listener, Warned
from thcli.core.options import OutputOptions, ReadOptions
from thcli.media.info import MediaInfo
from thcli.media.reading.probe import probe
from thcli.media.reading.video import exact_seconds
from thcli.media.writing.companions import CompanionSource
from thcli.media.writing.provenance import Provenance

_WHOLE = ReadOptions()


@dataclass(frozen=True, slots=True)
class WritePlan:
    """Timing, companion streams and origin of an output.

    time_base: unit of the time stamps to write in seconds; None: that of `drive`, else of `like`.
    rate: average frames per second, by the same rule.
    frames: expected number of frames, None when unknown.
    drive: input whose audio, subtitles, chapters and metadata accompany the video.
    span: range of `drive` that is used. A range that does not begin at 0 starts the output at 0.
    source: input whose audio accompanies the video with --audio source.
    source_span: range of `source` that is used.
    provenance: origin, written to the metadata.
    fingerprint: hash of all that determines the pixels, for --resume.
    """

    time_base: Fraction | None = None
    rate: Fraction | None = None
    frames: int | None = None
    drive: MediaInfo | None = None
    span: ReadOptions = _WHOLE
    source: MediaInfo | None = None
    source_span: ReadOptions = _WHOLE
    provenance: Provenance | None = None
    fingerprint: str = ""

    def expected_frames(self, rate: Fraction) -> int:
        """Return the number of frames in the range at a rate in Hz, 0 when unknown."""
        frames, span = self.frames or 0, self.span
        if span.end is None:
            return frames
        return min(frames, ceil((exact_seconds(span.end) - exact_seconds(span.start)) * rate))


def companion_sources(
    options: OutputOptions, plan: WritePlan, on: Listener
) -> tuple[CompanionSource, ...]:
    """Return the streams to take from each input, by the value of --audio."""
    audio, drive, source = options.audio, plan.drive, plan.source
    found: list[CompanionSource] = []
    if drive is not None and drive.streams and drive.path.is_file():
        start, stop = _bounds(drive, plan.span)
        is_audio = drive.kind == "audio"
        if is_audio:  # it has no video to stay in sync with, so it begins with the output
            start = start or drive.start or None
        found.append(
            CompanionSource(drive.path, audio == "drive", start=start, stop=stop, to_start=is_audio)
        )
    if audio == "source" and source is not None and source.audio:
        start, stop = _bounds(source, plan.source_span)
        found.append(
            CompanionSource(
                source.path,
                others=False,
                start=start,
                stop=stop,
                to_start=True,
                ends_with_video=True,
            )
        )
    elif audio == "source":
        on(Warned("--audio source: the source has no audio, so the output has none."))
    elif audio not in ("drive", "none"):
        sound = probe(audio, plan.span)
        if not sound.audio:
            raise MediaError(
                f"{audio} has no audio.", "Give a file with an audio track to --audio."
            )
        found.append(
            CompanionSource(
                sound.path, others=False, first_only=True, to_start=True, ends_with_video=True
            )
        )
    return tuple(replace(one, only_aac=options.share) for one in found)


def _bounds(info: MediaInfo, span: ReadOptions) -> tuple[Fraction | None, Fraction | None]:
    """Return start and stop of a span in the file's own time, None for the ends of the file."""
    return (
        info.start + exact_seconds(span.start) if span.start else None,
        info.start + exact_seconds(span.end) if span.end is not None else None,
    )
