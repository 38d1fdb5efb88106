"""What a long call tells its caller while it runs: small frozen events, handed to a listener.

The core never prints; the CLI turns events into a bar, plain lines or JSON lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """A stage begins. total: how many frames (or bytes) it will take, None when unknown."""

    stage: str
    total: int | None = None
    unit: str = "frames"


@dataclass(frozen=True, slots=True)
class Step:
    """A stage has done `done` of its total so far."""

    stage: str
    done: int


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the user should know; the work goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A stage has ended. seconds: wall time that it took."""

    stage: str
    done: int
    seconds: float


Event = Started | Step | Warned | Finished
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener that ignores everything."""
