"""Hardware encoders: which device each needs, and whether it answers."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import av
from av.codec.codec import UnknownCodecError
from av.video.codeccontext import VideoCodecContext

from thcli.core.errors import DeviceError

DEVICES = {
    "nvenc": "an NVIDIA GPU with a video encoder, and its driver",
    "qsv": "an Intel GPU with Quick Sync, and its driver",
    "amf": "an AMD GPU with the AMF runtime",
    "videotoolbox": "a Mac",
    "vaapi": "a Linux GPU with VAAPI, and a PyAV that hands frames to it",
}
HARDWARE = tuple(f"{codec}_{kind}" for kind in DEVICES for codec in ("h264", "hevc"))
_HINT = "Use --codec h264, which encodes on the CPU."
_SIDE = 256  # pixels of the trial; encoders refuse very small frames


@cache
def _failure(encoder: str, pix_fmt: str) -> str:
    """Open an encoder and return why it cannot be used, '' when it can."""
    try:
        context = av.CodecContext.create(encoder, "w")
    except UnknownCodecError:
        return "this build of PyAV does not have it"
    assert isinstance(context, VideoCodecContext)
    context.width = context.height = _SIDE
    context.pix_fmt = pix_fmt
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    try:
        context.open()
    except (av.FFmpegError, OSError, ValueError):
        return "its device does not answer"
    return ""


def require_encoder_device(encoder: str, pix_fmt: str) -> None:
    """Check that the device of a hardware encoder answers; other encoders pass.

    Args:
        encoder: FFmpeg's name.
        pix_fmt: of the frames that it will get.

    Raises:
        DeviceError: it names the device that the encoder needs.
    """
    if encoder not in HARDWARE:
        return
    failure = _failure(encoder, pix_fmt)
    if failure:
        needs = DEVICES[encoder.partition("_")[2]]
        raise DeviceError(f"{encoder} cannot be used: {failure}. It needs {needs}.", _HINT)
