"""Refusal of output options that a kind of output does not read."""

from __future__ import annotations

from thcli.core.errors import UsageError
from thcli.core.options import OutputOptions, changed_options
from thcli.media.writing.codecs import plan_encoder
from thcli.media.writing.target import OutputTarget

_SOME_SIZE = (16, 16)  # of frames, which does not decide what an encoder reads
_ENCODING = ("codec", "crf", "preset", "share", "audio")


def refuse_unread_output_options(output: OutputTarget, options: OutputOptions) -> None:
    """Raise UsageError for an option that was given and that this kind of output does not read."""
    given = dict(changed_options(options))
    if options.audio == "none":  # says what any output without audio does
        given.pop("audio")
    for name in _unread(output, options):
        if name in given:
            raise UsageError(
                f"{given[name]} has no effect with the output {output.name}.",
                "Leave it out, or write a video such as NAME.mp4.",
            )
    if output.kind in ("container", "stdout"):
        plan_encoder(output.muxer, options, _SOME_SIZE, deep=False)


def _unread(output: OutputTarget, options: OutputOptions) -> tuple[str, ...]:
    """Return the names of the options that this kind of output does not read."""
    if output.kind == "image":
        return (*_ENCODING, "fps")
    if output.kind == "folder":
        return _ENCODING
    if output.muxer in ("gif", "webp"):
        read = ("share", "audio")
        return ("crf", "preset", *read) if options.codec == "auto" else read
    return ()
