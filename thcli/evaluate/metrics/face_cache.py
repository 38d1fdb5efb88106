"""Cache of what is computed from a face, so that rows and metrics share it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from thcli.core.types import Face, Image

Found = TypeVar("Found")


class FaceCache(Generic[Found]):
    """Cache of a function of faces that rows and metrics share; faces are compared as objects."""

    def __init__(self, compute: Callable[[Image, Face], Found], size: int = 128) -> None:
        self._compute, self._size = compute, size
        self._seen: dict[int, tuple[Face, Found]] = {}

    def get(self, image: Image, face: Face) -> Found:
        if id(face) not in self._seen:
            self._seen[id(face)] = face, self._compute(image, face)
            while len(self._seen) > self._size:
                self._seen.pop(next(iter(self._seen)))
        return self._seen[id(face)][1]
