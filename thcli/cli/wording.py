"""Text of the command line's results: counts with their noun, speeds, durations, summaries."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thcli.pipeline.job.job import Report


def to_markup(text: str) -> str:
    """Return a text for Rich, to which a bracket opens markup."""
    return text.replace("[", "\\[")


def from_markup(text: str) -> str:
    """Return a text of `to_markup` as the terminal shows it."""
    return text.replace("\\[", "[")


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun in the singular or plural, such as "1 frame" or "7 frames".

    Args:
        number: count, 0 or more.
        noun: the singular.
        plural: the plural where it is not the noun with an s.
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def rate(number: int, seconds: float, unit: str = "frames") -> str:
    """Return a speed such as "74 frames/s" or "0.25 clips/s"; "-" where no time was measured."""
    return f"{_short(number / seconds)} {unit}/s" if seconds > 0 else "-"


def duration(seconds: float) -> str:
    """Return a duration such as "75 s", "6.4 s" or "0.05 s"; "0 s" for none at all."""
    return f"{_short(seconds)} s"


def _short(value: float) -> str:
    """Return a number of two or more significant digits, without an exponent."""
    if value >= 10 or value == 0:
        return f"{value:.0f}"
    if value >= 1:
        return f"{value:.1f}"
    digits = 2
    while digits < 6 and round(value, digits) < 10 ** (1 - digits):
        digits += 1
    return f"{value:.{digits}f}"


def summary(report: Report, noun: str = "frame") -> str:
    """Return one line on a finished job, or on its dry run. noun: what the job counts."""
    facts = report.details
    if facts.get("dry_run"):
        return _plan(report, noun)
    text = count(report.frames, noun)
    if facts.get("outputs"):
        text = f"{', '.join(facts['outputs'])}: {text} each"
    elif report.output and str(report.output) != "-":
        text = f"{report.output}: {text}"
    text += f" in {duration(report.seconds)}"
    if report.frames and report.seconds > 0:
        text += f" ({rate(report.frames, report.seconds)})"
    left = [
        f"{number} {state}"
        for number, state in (
            (report.passed_through, "without the face"),
            (report.failed, "failed"),
        )
        if number
    ]
    return f"{text}; {', '.join(left)}" if left else text


def _plan(report: Report, noun: str) -> str:
    facts = report.details
    made = facts.get("would_make")
    text = "would write" if made is None else f"would make {count(made, noun)}"
    if facts.get("size"):
        text += f" of {facts['size']}"
    if "estimate" in facts:
        text += f" in about {facts['estimate']} s"
    return f"{text}: {report.output}" if report.output else text


def printable(text: str) -> str:
    """Escape what a terminal would obey: control and formatting characters, broken Unicode.

    Line breaks stay. File names and metadata of inputs may hold anything.
    """
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return character.encode("unicode_escape").decode()
