"""Choice of encoder, pixel format and encoder settings."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import av
from av.codec.codec import UnknownCodecError

from thcli.core.errors import UsageError
from thcli.core.options import OutputOptions
from thcli.media.writing.hardware import HARDWARE, require_encoder_device

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

AUTO_PRESET = "veryfast"  # of --preset auto
LARGE = 2560 * 1440  # pixels of a frame, above which --preset auto is faster with libx264

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
    """An encoder and its settings.

    encoder, pix_fmt: FFmpeg's names.
    options: codec options.
    tag: codec tag, '' for the muxer's default.
    b_frames: False for a container that cannot hold frames out of order.
    counts_frames: True for an encoder that accepts only the time stamps 0, 1, 2 …
    """

    encoder: str
    pix_fmt: str
    options: dict[str, str] = field(default_factory=dict)
    tag: str = ""
    b_frames: bool = True
    counts_frames: bool = False

    @property
    def is_deep(self) -> bool:
        """True for more than 8 bits per sample."""
        return max(part.bits for part in av.VideoFormat(self.pix_fmt, 16, 16).components) > 8


@dataclass(frozen=True, slots=True)
class _EncoderTraits:
    """Options of one encoder for quality and speed.

    crf: name of the quality option (several with commas), our default, its largest value; None
        without one.
    scale: value of the quality option for a --crf.
    preset: options for a --preset value; None without a choice of speed.
    large: options of frames above LARGE without --preset.
    options: set always.
    counts_frames: see `EncoderPlan`.
    """

    crf: tuple[str, float, float] | None = None
    preset: Callable[[str], dict[str, str]] | None = None
    large: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    counts_frames: bool = False
    scale: Callable[[float], float] = float


def _named(preset: str) -> dict[str, str]:
    return {"preset": preset}


def _svt(preset: str) -> dict[str, str]:
    return {"preset": str((12, 11, 10, 9, 8, 7, 5, 4, 3, 1)[PRESETS.index(preset)])}


def _vpx(preset: str) -> dict[str, str]:
    return {"cpu-used": str((8, 6, 5, 4, 3, 2, 1, 1, 0, 0)[PRESETS.index(preset)])}


def _nvenc(preset: str) -> dict[str, str]:
    return {"preset": "p" + str((1, 1, 2, 3, 3, 4, 5, 6, 7, 7)[PRESETS.index(preset)])}


def _qsv(preset: str) -> dict[str, str]:
    names = ("veryfast",) * 3 + ("faster", "fast", "medium", "slow", "slower") + ("veryslow",) * 2
    return {"preset": names[PRESETS.index(preset)]}


def _amf(preset: str) -> dict[str, str]:
    index = PRESETS.index(preset)
    return {"quality": "speed" if index < 4 else "balanced" if index < 6 else "quality"}


def _apple(crf: float) -> float:
    """Return VideoToolbox's quality, 1 to 100, higher is better."""
    return max(1.0, 100 - 1.9 * crf)


# Less than half the time of veryfast at equal PSNR, for a fifth more bytes (docs/figures)
_LARGE_X264 = (
    ("preset", "superfast"),
    ("mbtree", "1"),
    ("rc-lookahead", "5"),
    ("bf", "0"),
    ("weightp", "0"),
)
_QSV = _EncoderTraits(("global_quality", 20, 51), _qsv)
_AMF = _EncoderTraits(("qp_i,qp_p", 20, 51), _amf, options=(("rc", "cqp"),))
_VIDEOTOOLBOX = _EncoderTraits(("qscale", 18, 51), scale=_apple)
_ENCODERS = {
    "libx264": _EncoderTraits(("crf", 18, 51), _named, _LARGE_X264),
    "libx264rgb": _EncoderTraits(("crf", 18, 51), _named),
    "libx265": _EncoderTraits(
        ("crf", 20, 51), _named, options=(("x265-params", "log-level=error"),)
    ),
    "libsvtav1": _EncoderTraits(("crf", 24, 63), _svt),
    "libaom-av1": _EncoderTraits(("crf", 24, 63), _vpx, options=(("b", "0"), ("row-mt", "1"))),
    "libvpx-vp9": _EncoderTraits(
        ("crf", 24, 63), _vpx, options=(("b", "0"), ("row-mt", "1"), ("deadline", "good"))
    ),
    "libvpx": _EncoderTraits(("crf", 8, 63), _vpx, options=(("b", "8M"), ("deadline", "good"))),
    "h264_nvenc": _EncoderTraits(("cq", 19, 51), _nvenc, options=(("rc", "vbr"), ("b", "0"))),
    "hevc_nvenc": _EncoderTraits(("cq", 21, 51), _nvenc, options=(("rc", "vbr"), ("b", "0"))),
    "h264_qsv": _QSV,
    "hevc_qsv": _QSV,
    "h264_amf": _AMF,
    "hevc_amf": _AMF,
    "h264_videotoolbox": _VIDEOTOOLBOX,
    "hevc_videotoolbox": _VIDEOTOOLBOX,
    "prores_ks": _EncoderTraits(options=(("profile", "3"), ("vendor", "apl0"))),
    "mpeg4": _EncoderTraits(("qscale", 2, 31), counts_frames=True),
    "mpeg2video": _EncoderTraits(("qscale", 2, 31), counts_frames=True),
    "mjpeg": _EncoderTraits(("qscale", 2, 31)),
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
    """Choose the encoder for a container.

    Args:
        muxer: FFmpeg's name of the container format ("mp4", "matroska" …).
        options: codec, quality and speed.
        size: (width, height) of the frames.
        deep: True for frames of more than 8 bits per sample.

    Raises:
        UsageError: an encoder that is unknown, not in this build or not for this container; a
            quality or speed that it does not have.
        DeviceError: the device of a hardware encoder is missing.
    """
    if muxer in _ANIMATIONS and options.codec == "auto":
        return _ANIMATIONS[muxer]
    auto = options.codec == "auto"
    encoder = _default_encoder(muxer, deep) if auto else _find_encoder(options.codec, muxer)
    traits = _ENCODERS.get(encoder, _EncoderTraits())
    settings = dict(traits.options)
    if traits.crf is not None:
        name, default, largest = traits.crf
        value = default if options.crf is None else options.crf
        if value > largest:
            raise UsageError(f"--crf must be within 0..{largest:g} for {encoder}, not {value:g}.")
        settings |= {part: f"{traits.scale(value):g}" for part in name.split(",")}
    elif options.crf is not None:
        raise UsageError(
            f"--crf has no effect with the encoder {encoder}.",
            f"These read it: {', '.join(n for n, t in _ENCODERS.items() if t.crf)} (--codec).",
        )
    if options.preset not in ("auto", *PRESETS):
        known = ", ".join(("auto", *PRESETS))
        raise UsageError(f"--preset must be one of {known}, not {options.preset!r}.")
    if traits.preset is not None:
        is_auto = options.preset == "auto"
        settings |= traits.preset(AUTO_PRESET if is_auto else options.preset)
        if is_auto and size[0] * size[1] > LARGE:
            settings |= dict(traits.large)
    elif options.preset != OutputOptions().preset:
        raise UsageError(
            f"--preset has no effect with the encoder {encoder}.",
            f"These read it: {', '.join(n for n, t in _ENCODERS.items() if t.preset)} (--codec).",
        )
    if options.key_every:
        settings["g"] = str(options.key_every)
    pix_fmt = _pixel_format(encoder, size, deep)
    require_encoder_device(encoder, pix_fmt)
    # these hold no time stamps before zero, where the decoding of B-frames begins
    b_frames = muxer not in ("avi", "flv", "nut")
    if not b_frames:
        settings["bf"] = "0"
    # required by Apple's players
    is_hevc = encoder == "libx265" or encoder.startswith("hevc_")
    tag = "hvc1" if is_hevc and muxer in ("mp4", "mov") else ""
    return EncoderPlan(encoder, pix_fmt, settings, tag, b_frames, traits.counts_frames)


def _default_encoder(muxer: str, deep: bool) -> str:
    if muxer == "webm" and deep:
        return _first_of(("libsvtav1", "libaom-av1", "libvpx-vp9"))
    if muxer == "webm":
        return _first_of(("libvpx-vp9", "libvpx", "libsvtav1"))
    if muxer == "avi":  # AVI cannot hold the frame order of H.264
        return _first_of(("mpeg4", "mjpeg"))
    if deep:
        return _first_of(("libx265", "libx264", "mpeg4"))
    return _first_of(("libx264", "libopenh264", "mpeg4"))


def _first_of(names: tuple[str, ...]) -> str:
    for name in names:
        if _exists(name):
            return name
    raise UsageError(
        f"This build of FFmpeg has none of the encoders {', '.join(names)}.",
        "Give another one with --codec.",
    )


def _exists(name: str) -> bool:
    try:
        return av.Codec(name, "w").type == "video"
    except UnknownCodecError:
        return False


def _find_encoder(name: str, muxer: str) -> str:
    for encoder in _ALIASES.get(name, (name,)):
        if _exists(encoder):
            with av.open(io.BytesIO(), "w", format=muxer) as trial:
                try:
                    trial.add_stream(encoder, rate=25)
                except ValueError as exc:
                    raise UsageError(
                        f"A {muxer} file cannot hold {name}.",
                        "Use another --codec, or another file extension.",
                    ) from exc
            return encoder
    if name in HARDWARE:
        require_encoder_device(name, "nv12")
    aliases = {alias for alias in _ALIASES if any(map(_exists, _ALIASES[alias]))}
    known = sorted(aliases | {n for n in _ENCODERS if _exists(n)})
    raise UsageError(
        f"There is no video encoder named {name!r}.", f"Available: {', '.join(known)} and others."
    )


def _pixel_format(encoder: str, size: tuple[int, int], deep: bool) -> str:
    if encoder in _LOSSLESS:
        return _LOSSLESS[encoder][deep]
    formats = [form.name for form in av.Codec(encoder, "w").video_formats or ()]
    # 4:2:0 of H.264 and H.265 needs an even size; 4:4:4 keeps an odd one
    needs_even = encoder in ("libx264", "libx265", *HARDWARE)
    wanted: tuple[str, ...] = (*_DEEP, *_SHALLOW) if deep else (*_SHALLOW, *_DEEP)
    if needs_even and (size[0] % 2 or size[1] % 2):
        wanted = tuple(name for name in wanted if "444" in name)
        if encoder in HARDWARE and not set(wanted) & set(formats):
            raise UsageError(
                f"{encoder} holds only even sizes, not {size[0]}x{size[1]}.", "Use --codec h264."
            )
    return next((name for name in wanted if name in formats), formats[0] if formats else "yuv420p")
