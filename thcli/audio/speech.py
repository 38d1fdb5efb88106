"""Recordings at one rate and one loudness (a `Speech` of core.protocols)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from thcli.audio.loudness import loudness_of_blocks, normalising_gain
from thcli.audio.read import RATE, read_blocks
from thcli.core.options import AudioOptions
from thcli.core.types import Array32

_WHOLE_FILE = AudioOptions()


class Recording:
    """Sound of a file as a `Speech`. It is read once on creation and not kept in memory.

    Attributes:
        length: exact number of samples.
        loudness: LUFS of the recording, -inf for silence.
        gain: factor applied to the samples (which may then exceed 1).

    Raises:
        MediaError: see `audio.read.read_sound`.
    """

    rate = RATE

    def __init__(self, path: str | Path, options: AudioOptions = _WHOLE_FILE) -> None:
        self.path, self.options = Path(path), options
        self.gain = 1.0
        self.length = 0
        self.loudness = loudness_of_blocks(self._count_samples(), self.rate)
        if options.level:
            self.gain = normalising_gain(self.loudness, options.loudness)

    def _count_samples(self) -> Iterator[Array32]:
        for block in self.blocks():
            self.length += len(block)
            yield block

    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]:
        """Yield the levelled samples, (N,) float32, from the beginning."""
        for block in read_blocks(
            self.path, self.rate, seconds, self.options.start, self.options.end
        ):
            yield block * self.gain
