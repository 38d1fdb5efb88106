"""Which encoder, pixel format and settings an output gets."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import av
from av.codec.codec import UnknownCodecError

from thcli.core.errors import UsageError
from thcli.core.options import OutputOptions

PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)

_ALIASES = {
    "h264": ("libx264", "libopenh264"),
    "x264": ("libx264",),
    "hevc": ("libx265",),
    "h265": ("libx265",),
    "x265": ("libx265",),
    "av1": ("libsvtav1", "libaom-av1"),
    "vp9": ("libvpx-vp9",),
    "vp8": ("libvpx",),
    "prores": ("prores_ks",),
}


@dataclass(frozen=True, slots=True)
class EncoderPlan:
    """An encoder and how it is set. counts: it wants the time stamps 0, 1, 2 … (its own clock cannot hold others)."""

    encoder: str
    pix_fmt: str
    options: dict[str, str] = field(default_factory=dict)
    tag: str = ""
    b_frames: bool = True
    counts: bool = False

    @property
    def deep(self) -> bool:
        """More than 8 bits a sample."""
        return max(part.bits for part in av.VideoFormat(self.pix_fmt, 16, 16).components) > 8


@dataclass(frozen=True, slots=True)
class _Row:
    """How one encoder takes quality and speed. crf: its scale's name, our default, its largest value."""

    crf: tuple[str, float, float] | None = None
    preset: Callable[[str], dict[str, str]] = lambda preset: {}
    options: tuple[tuple[str, str], ...] = ()
    counts: bool = False


def _named(preset: str) -> dict[str, str]:
    return {"preset": preset}


def _svt(preset: str) -> dict[str, str]:
    return {"preset": str((12, 11, 10, 9, 8, 7, 5, 4, 3, 1)[PRESETS.index(preset)])}


def _vpx(preset: str) -> dict[str, str]:
    return {"cpu-used": str((8, 6, 5, 4, 3, 2, 1, 1, 0, 0)[PRESETS.index(preset)])}


def _nvenc(preset: str) -> dict[str, str]:
    return {"preset": "p" + str((1, 1, 2, 3, 3, 4, 5, 6, 7, 7)[PRESETS.index(preset)])}


_ROWS = {
    "libx264": _Row(("crf", 18, 51), _named),
    "libx264rgb": _Row(("crf", 18, 51), _named),
    "libx265": _Row(("crf", 20, 51), _named, (("x265-params", "log-level=error"),)),
    "libsvtav1": _Row(("crf", 24, 63), _svt),
    "libaom-av1": _Row(("crf", 24, 63), _vpx, (("b", "0"), ("row-mt", "1"))),
    "libvpx-vp9": _Row(("crf", 24, 63), _vpx, (("b", "0"), ("row-mt", "1"), ("deadline", "good"))),
    "libvpx": _Row(("crf", 8, 63), _vpx, (("b", "8M"), ("deadline", "good"))),
    "h264_nvenc": _Row(("cq", 19, 51), _nvenc, (("rc", "vbr"), ("b", "0"))),
    "hevc_nvenc": _Row(("cq", 21, 51), _nvenc, (("rc", "vbr"), ("b", "0"))),
    "prores_ks": _Row(options=(("profile", "3"), ("vendor", "apl0"))),
    "mpeg4": _Row(("qscale", 2, 31), counts=True),
    "mpeg2video": _Row(("qscale", 2, 31), counts=True),
    "mjpeg": _Row(("qscale", 2, 31)),
}
_SHALLOW = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "rgb24", "bgr0", "gbrp", "rgba", "bgra")
_DEEP = (
    "yuv420p10le",
    "p010le",
    "yuv422p10le",
    "yuv444p10le",
    "yuv422p12le",
    "gbrp10le",
    "rgb48le",
    "rgb48be",
)
_LOSSLESS = {
    "ffv1": ("bgr0", "gbrp16le"),
    "png": ("rgb24", "rgb48be"),
    "libx264rgb": ("rgb24", "rgb24"),
    "qtrle": ("rgb24", "rgb24"),
}


_ANIMATIONS = {
    "gif": EncoderPlan("gif", "pal8"),
    "webp": EncoderPlan("libwebp_anim", "bgra", {"quality": "90"}),
}


def plan_encoder(
    muxer: str, options: OutputOptions, size: tuple[int, int], deep: bool
) -> EncoderPlan:
    """The encoder for a container ("mp4", "matroska" …). deep: the pictures have more than 8 bits.

    Raises UsageError for an encoder that is unknown, not in this build, or not for this container, and for a quality or
    speed that it does not have.
    """
    if muxer in _ANIMATIONS and options.codec == "auto":
        return _ANIMATIONS[muxer]
    encoder = _auto(muxer, deep) if options.codec == "auto" else _find(options.codec, muxer)
    row = _ROWS.get(encoder, _Row())
    settings = dict(row.options)
    if row.crf is not None:
        name, default, largest = row.crf
        value = default if options.crf is None else options.crf
        if value > largest:
            raise UsageError(f"--crf must be within 0..{largest:g} for {encoder}, not {value:g}.")
        settings[name] = f"{value:g}"
    if options.preset not in PRESETS:
        raise UsageError(f"--preset must be one of {', '.join(PRESETS)}, not {options.preset!r}.")
    settings |= row.preset(options.preset)
    if options.key_every:
        settings["g"] = str(options.key_every)
    pix_fmt = _pixel_format(encoder, size, deep)
    b_frames = muxer not in (
        "avi",
        "flv",
        "nut",
    )  # these have no times before zero, when such frames begin to be decoded
    if not b_frames:
        settings["bf"] = "0"
    tag = (
        "hvc1" if encoder == "libx265" and muxer in ("mp4", "mov") else ""
    )  # what Apple's players ask for
    return EncoderPlan(encoder, pix_fmt, settings, tag, b_frames, row.counts)


def _auto(muxer: str, deep: bool) -> str:
    if muxer == "webm":
        return _first_of(
            ("libsvtav1", "libaom-av1", "libvpx-vp9")
            if deep
            else ("libvpx-vp9", "libvpx", "libsvtav1")
        )
    if muxer == "avi":  # the container is older than H.264 and cannot hold its order of frames
        return _first_of(("mpeg4", "mjpeg"))
    return _first_of(
        ("libx265", "libx264", "mpeg4") if deep else ("libx264", "libopenh264", "mpeg4")
    )


def _first_of(names: tuple[str, ...]) -> str:
    for name in names:
        if _exists(name):
            return name
    raise UsageError(
        f"This build of FFmpeg has none of the encoders {', '.join(names)}.",
        "Name another with --codec.",
    )


def _exists(name: str) -> bool:
    try:
        return av.Codec(name, "w").type == "video"
    except UnknownCodecError:
        return False


def _find(name: str, muxer: str) -> str:
    for encoder in _ALIASES.get(name, (name,)):
        if _exists(encoder):
            with av.open(io.BytesIO(), "w", format=muxer) as trial:
                try:
                    trial.add_stream(encoder, rate=25)
                except ValueError as exc:
                    raise UsageError(
                        f"A {muxer} file cannot hold {name}.",
                        "Choose another --codec or another ending for the output.",
                    ) from exc
            return encoder
    known = sorted(
        {alias for alias in _ALIASES if any(map(_exists, _ALIASES[alias]))}
        | {n for n in _ROWS if _exists(n)}
    )
    raise UsageError(
        f"There is no video encoder named {name!r}.", f"Among others there are: {', '.join(known)}."
    )


def _pixel_format(encoder: str, size: tuple[int, int], deep: bool) -> str:
    if encoder in _LOSSLESS:
        return _LOSSLESS[encoder][deep]
    formats = [form.name for form in av.Codec(encoder, "w").video_formats or ()]
    # H.264 and H.265 halve the chroma of whole pairs only; full chroma keeps an odd size as it is
    odd = encoder in ("libx264", "libx265", "h264_nvenc", "hevc_nvenc") and (
        size[0] % 2 or size[1] % 2
    )
    wanted: tuple[str, ...] = (*_DEEP, *_SHALLOW) if deep else (*_SHALLOW, *_DEEP)
    if odd:
        wanted = tuple(name for name in wanted if "444" in name)
    return next((name for name in wanted if name in formats), formats[0] if formats else "yuv420p")
