"""Opening of input containers with PyAV: local files only, no playlists, bounded frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from thcli.core.errors import MediaError
from thcli.core.options import ReadOptions
from thcli.media.failures import is_truncated_movie, to_media_error
from thcli.media.reading.pixel_limit import PixelLimit

# demuxers that open other files, or accept any text or bytes as video
_REFUSED = {
    "tty",
    "concat",
    "hls",
    "dash",
    "sdp",
    "rtsp",
    "imf",
    "mlv",
    "vobsub",
    "webm_dash_manifest",
    "lavfi",
    "bin",
    "adf",
    "idf",
    "xbin",
    "rawvideo",
}
_ACCEPTED = ",".join(n for n in sorted(av.formats_available) if not _REFUSED & set(n.split(",")))
_USUAL = PixelLimit.of(ReadOptions())


@contextmanager
def open_input(path: Path, limit: PixelLimit = _USUAL) -> Iterator[InputContainer]:
    """Open an input container and close it at the end of the block.

    Its video decoders refuse frames that are larger than `limit`.

    Raises:
        MediaError: the file cannot be opened, or its demuxer is refused.
    """
    most = {"max_pixels": str(limit.most(path))}
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": _ACCEPTED,  # refuses a demuxer before it opens other files
        "pattern_type": "none",  # %d in a name is no pattern of several images
        **most,
    }
    # "file:" protects a name with a colon from being parsed as a protocol
    try:
        container = av.open(
            f"file:{path.absolute()}",
            "r",
            options=options,
            metadata_errors="replace",
        )
    except (av.FFmpegError, OSError, ValueError) as exc:
        raise to_media_error(path, exc) from exc
    with container:
        for stream in container.streams.video:
            if stream.codec_context is not None:
                stream.codec_context.options = most
        yield container


def find_video_stream(container: InputContainer) -> VideoStream | None:
    """Select the video stream: the one flagged as default, else the first.

    A cover image beside audio is not a video stream.

    Returns:
        None when the container has no video stream.
    """
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    moving = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    chosen = [stream for stream in moving if stream.disposition & Disposition.default] or moving
    if not chosen and not container.streams.audio:
        chosen = streams
    return chosen[0] if chosen else None


def require_video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Select the video stream as `find_video_stream` does.

    Raises:
        MediaError: the container has no video stream, or none that can be decoded.
    """
    stream = find_video_stream(container)
    if stream is not None:
        return stream
    if is_truncated_movie(path):
        raise to_media_error(path, MediaError("no stream"))
    if any(other.codec_context is None for other in container.streams.video):
        raise MediaError(
            f"{path} has a video stream that this build of FFmpeg cannot decode.",
            "Convert it to H.264.",
        )
    what = "audio, but no video stream" if container.streams.audio else "no video stream"
    raise MediaError(f"{path} has {what}.", "Give a video or an image.")
