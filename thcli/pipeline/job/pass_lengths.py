"""Check that every pass over an input reads the same number of frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from thcli.core.errors import MediaError
from thcli.core.options import ReadOptions
from thcli.core.types import Frame


class PassLengths:
    """Numbers of frames that complete passes have read, by file and range.

    A file that is replaced between two passes, or a disk that fails in one of them, would pair
    frames with the faces of others.
    """

    def __init__(self) -> None:
        self._lengths: dict[tuple[Path, ReadOptions], int] = {}

    def check(self, path: Path, span: ReadOptions, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames of one pass.

        Raises:
            MediaError: there are fewer or more than in an earlier pass over the same range.
        """
        count = 0
        for frame in frames:
            if count == self._lengths.get((path, span)):
                raise _changed_error(path, count, "more")
            count += 1
            yield frame
        first = self._lengths.setdefault((path, span), count)
        if count != first:
            raise _changed_error(path, first, f"only {count}")


def _changed_error(path: Path, first: int, later: str) -> MediaError:
    return MediaError(
        f"{path} gave {first} frames when it was read first, and {later} when it was read again.",
        "Copy it to a reliable disk, and leave it unchanged while the command runs.",
    )
