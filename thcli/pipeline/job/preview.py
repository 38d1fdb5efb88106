"""Short and small first looks (--preview)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from thcli.core.errors import UsageError
from thcli.core.options import SpeakOptions

PREVIEW_SECONDS = 3.0
PREVIEW_LONG = 480  # pixels
Options = TypeVar("Options")


def limit_preview(options: Options) -> Options:
    """Return the options of the job that --preview asks for; without it those given.

    Args:
        options: of a verb, with `preview`, `read` and `output`.

    Raises:
        UsageError: frames beyond the speech were asked for too.
    """
    given: Any = options
    if not given.preview:
        return options
    if isinstance(given, SpeakOptions):
        if given.footage.keeps_rest:
            raise UsageError("--preview has no effect with --pad or --from.", "Leave one out.")
        span = {"sound": _first_seconds(given.sound)}
    else:
        span = {"read": _first_seconds(given.read)}
    output = replace(given.output, longest=PREVIEW_LONG)
    limited: Options = replace(given, **span, output=output)
    return limited


def preview_stem(stem: str, options: Any) -> str:
    """Return the stem of a default output, another one for a preview."""
    return f"{stem}_preview" if options.preview else stem


def _first_seconds(span: Any) -> Any:
    """Cut a range, of `ReadOptions` or `AudioOptions`."""
    end = span.start + PREVIEW_SECONDS
    return replace(span, end=end if span.end is None else min(span.end, end))
