"""The one error tree.

    ThcliError                                                                  exit
    ├── UsageError     a bad flag, a bad combination, a bad configuration file    2
    ├── MediaError     an input that cannot be read, or holds no picture          3
    ├── NoFaceError    no face was found, or none fits the choice                 4
    ├── WeightsError   weights absent, altered, of other keys, or refused         5
    ├── DeviceError    no such device, not enough of its memory                   6
    └── OutputError    the output exists, cannot be written, the disk is full     7

0 is success, 1 is a bug (an exception outside of this tree), 130 is an interruption.
"""

from __future__ import annotations

from typing import ClassVar


class ThcliError(Exception):
    """A failure that the user can understand: one sentence on what and where, and a hint on what to do next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(ThcliError):
    """The command line, the options or a configuration file ask for something that does not exist or contradicts itself."""

    exit_code = 2


class MediaError(ThcliError):
    """An input file is missing, broken, empty, of the wrong kind, or has no picture (or no sound where one is needed)."""

    exit_code = 3


class NoFaceError(ThcliError):
    """No face in the input, or none that fits the choice made with --face."""

    exit_code = 4


class WeightsError(ThcliError):
    """Weights are absent, have another hash or other keys than expected, or may not be used as asked."""

    exit_code = 5


class DeviceError(ThcliError):
    """The device asked for does not exist or has not enough memory."""

    exit_code = 6


class OutputError(ThcliError):
    """The output exists already, cannot be written, or does not fit on the disk."""

    exit_code = 7
