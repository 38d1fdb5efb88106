"""Progress events: small frozen values that a long call passes to a listener.

The core never prints; the CLI renders events as a bar, as plain lines or as JSON lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """The beginning of a stage.

    total: number of units that the stage will process, None when unknown.
    unit: the unit of progress, such as "frames" or "bytes".
    """

    stage: str
    total: int | None = None
    unit: str = "frames"


@dataclass(frozen=True, slots=True)
class Step:
    """Progress of a stage. done: units processed so far."""

    stage: str
    done: int


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning for the user; the work continues."""

    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a stage. done: units processed. seconds: wall time."""

    stage: str
    done: int
    seconds: float


Event = Started | Step | Warned | Finished
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Ignore the event: a listener for callers that need no progress."""
