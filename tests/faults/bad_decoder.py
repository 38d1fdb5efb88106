"""Decoders that fail, as a fault."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import av

from tests.faults.inject import Setting
from thcli.media.reading import video
from thcli.media.reading.container import open_input as real_open_input


@dataclass(frozen=True)
class BadDecoder:
    """A decoder that fails.

    first, last: packets that fail, counted from 0 in each pass over the file; None: to the end.
    opening: pass that fails, counted from 0 over all; None: all passes.
    demux: the failure is one of reading the packet.
    """

    first: int
    last: int | None = None
    opening: int | None = None
    demux: bool = False

    def __call__(self, setting: Setting) -> None:
        opened = 0

        @contextmanager
        def open_input(*given: Any, **named: Any) -> Iterator[Any]:
            nonlocal opened
            opened += 1
            with real_open_input(*given, **named) as container:
                is_bad = self.opening in (None, opened - 1)
                yield _BadContainer(container, self) if is_bad else container

        setting.patch.setattr(video, "open_input", open_input)

    def fails_at(self, number: int) -> bool:
        return number >= self.first and (self.last is None or number <= self.last)


class _BadContainer:
    """A container of a BadDecoder."""

    def __init__(self, container: Any, plan: BadDecoder) -> None:
        self._container, self._plan, self._count = container, plan, 0
        self._packets: Iterator[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self, stream: Any) -> Iterator[Any]:
        if self._packets is None:
            self._packets = self._container.demux(stream)
        for packet in self._packets:
            number, self._count = self._count, self._count + 1
            fails = packet.size > 0 and self._plan.fails_at(number)
            if fails and self._plan.demux:
                raise av.error.OSError(errno.EIO, "Input/output error")
            yield _BadPacket() if fails else packet


class _BadPacket:
    """A packet that cannot be decoded."""

    def decode(self) -> list[Any]:
        raise av.error.InvalidDataError(errno.EINVAL, "Invalid data found when processing input")
