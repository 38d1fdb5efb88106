"""The exception hierarchy.

    ThcliError                                                            exit code
    ├── UsageError     invalid flag, combination or configuration file            2
    ├── MediaError     input unreadable, or without an image                      3
    ├── NoFaceError    no face found, or none matches the selection               4
    ├── WeightsError   weights missing, modified, incompatible or refused         5
    ├── DeviceError    device does not exist or cannot compute                    6
    │   ├── DeviceMemoryError    not enough memory (also a MemoryError)
    │   └── NotFiniteError       NaN or infinity (also a FloatingPointError)
    └── OutputError    output exists, is not writable, or the disk is full        7

0 is success, 1 is a bug (an exception outside of this tree), 130 is an interruption.
"""

from __future__ import annotations

from typing import ClassVar

INTERRUPTED = 130  # exit code of a command that Ctrl-C or SIGTERM ended


class ThcliError(Exception):
    """A failure that the user can act on.

    message: one sentence that says what is wrong and where.
    hint: the next action, or "".
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def as_json(self) -> dict[str, str | int]:
        """Return the object of `--json`."""
        return {
            "error": type(self).__name__,
            "message": self.message,
            "hint": self.hint,
            "exit_code": self.exit_code,
        }


class UsageError(ThcliError):
    """A command line, option or configuration file that is invalid or contradicts itself."""

    exit_code = 2


class MediaError(ThcliError):
    """An input that is missing, damaged, empty, of the wrong kind, or has no image or audio."""

    exit_code = 3


class NoFaceError(ThcliError):
    """An input without a face, or without one that matches --face."""

    exit_code = 4


class WeightsError(ThcliError):
    """Weights that are missing, have an unexpected hash or keys, or are excluded by licence."""

    exit_code = 5


class DeviceError(ThcliError):
    """A requested device that does not exist, is out of memory or computes no numbers."""

    exit_code = 6


class DeviceMemoryError(DeviceError, MemoryError):
    """A computation that needs more memory than the device or the computer has."""


class NotFiniteError(DeviceError, FloatingPointError):
    """A network whose result is NaN or infinite. One frame that raises it is a failed frame."""

    def __init__(
        self,
        message: str = "A network computed values that are not finite.",
        hint: str = "Use --precision fp32 or --device cpu, or get its weights again.",
    ) -> None:
        super().__init__(message, hint)


class OutputError(ThcliError):
    """An output that exists already, cannot be written, or does not fit on the disk."""

    exit_code = 7
