"""Title, language and other tags of a stream, which containers name differently."""

from __future__ import annotations

from av.container import OutputContainer
from av.stream import Disposition, Stream

_TAGS = ("language", "handler_name", "filename", "mimetype")
# FFmpeg's MOV muxer knows one of the two ISO 639-2 codes of a language, and drops the other
_MOV_LANGUAGES = {
    "sqi": "alb",
    "hye": "arm",
    "eus": "baq",
    "mya": "bur",
    "zho": "chi",
    "cze": "ces",
    "nld": "dut",
    "fre": "fra",
    "kat": "geo",
    "deu": "ger",
    "ell": "gre",
    "isl": "ice",
    "mkd": "mac",
    "msa": "may",
    "fas": "per",
    "rum": "ron",
    "slo": "slk",
    "bod": "tib",
    "cym": "wel",
}


def stream_title(stream: Stream) -> str:
    """Return a stream's title, '' without one. MP4 and MOV files store it as the track's name."""
    return stream.metadata.get("title") or stream.metadata.get("name", "")


def copy_tags(stream: Stream, copy: Stream, out: OutputContainer) -> None:
    """Give a stream of an output the title, the language and the flags of the input's.

    Args:
        stream: of the input.
        copy: of the output.
        out: the output; a MOV file gets the language code that it can hold.
    """
    tags = {key: stream.metadata.get(key, "") for key in _TAGS}
    if out.format.name == "mov":
        tags["language"] = _MOV_LANGUAGES.get(tags["language"], tags["language"])
    copy.metadata.update({key: value for key, value in tags.items() if value})
    if title := stream_title(stream):
        copy.metadata["title"] = title
    copy.disposition = stream.disposition & ~Disposition.attached_pic
