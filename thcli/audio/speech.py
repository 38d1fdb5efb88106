"""A recording as voices hear it: at one rate and one loudness, read as often as they like (a `Speech` of core.protocols)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from thcli.audio.loudness import gain, loudness_of
from thcli.audio.read import RATE, blocks
from thcli.core.options import AudioOptions
from thcli.core.types import Array32

_WHOLE = AudioOptions()


class Recording:
    """The sound of a file. Heard once when it is made, to know its length and loudness; nothing of it stays in memory.

    length: samples, exact.  loudness: LUFS as recorded, -inf for silence.  gain: what samples are multiplied with (they may then exceed 1).
    Raises MediaError as `audio.read.read` does.
    """

    rate = RATE

    def __init__(self, path: str | Path, options: AudioOptions = _WHOLE) -> None:
        self.path, self.options = Path(path), options
        self.gain = 1.0
        self.length = 0
        self.loudness = loudness_of(self._counted(), self.rate)
        if options.level:
            self.gain = gain(self.loudness, options.loudness)

    def _counted(self) -> Iterator[Array32]:
        for block in self.blocks():
            self.length += len(block)
            yield block

    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]:
        """The levelled samples, (N,) float32, from the beginning."""
        for block in blocks(self.path, self.rate, seconds, self.options.start, self.options.end):
            yield block * self.gain
