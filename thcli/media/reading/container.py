"""Opening an input with PyAV: safely (local files only, no playlists) and with one error for whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from thcli.core.errors import MediaError
from thcli.media.failures import unreadable

# demuxers that read other files, or take any text or bytes for a picture
_REFUSED = {
    "tty",
    "concat",
    "hls",
    "dash",
    "sdp",
    "rtsp",
    "imf",
    "lavfi",
    "bin",
    "adf",
    "idf",
    "xbin",
    "rawvideo",
}


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """An input container, closed at the end. Raises MediaError when it cannot be opened."""
    # "file:" keeps a name with a colon from being taken for a protocol; the whitelist keeps playlists off the network
    try:
        container = av.open(
            f"file:{path.absolute()}",
            "r",
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except (av.FFmpegError, OSError, ValueError) as exc:
        raise unreadable(path, exc) from exc
    with container:
        if _REFUSED & set(container.format.name.split(",")):
            raise unreadable(path, ValueError(f"read as {container.format.long_name}"))
        yield container


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The stream that is the moving picture: the default one, else the first, never a cover beside sound. None without any."""
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    moving = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    chosen = [stream for stream in moving if stream.disposition & Disposition.default] or moving
    if not chosen and not container.streams.audio:
        chosen = streams
    return chosen[0] if chosen else None


def need_picture(container: InputContainer, path: Path) -> VideoStream:
    """Like picture_stream, but raises MediaError without one."""
    stream = picture_stream(container)
    if stream is not None:
        return stream
    if any(other.codec_context is None for other in container.streams.video):
        raise MediaError(
            f"{path} holds a picture of a kind that this build of FFmpeg cannot decode.",
            "Convert it to H.264.",
        )
    what = "holds only sound and no picture" if container.streams.audio else "holds no picture"
    raise MediaError(f"{path} {what}.", "Give a video or an image.")
