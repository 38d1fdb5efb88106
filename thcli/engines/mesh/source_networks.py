"""Networks that a source is seen by: the person's matte, regions of the face, hands near it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from thcli.core.errors import WeightsError
from thcli.core.geometry import transform_points
from thcli.core.options import Matte, RunOptions
from thcli.core.protocols import Parser
from thcli.core.types import Array, Array32, Face, Image
from thcli.faces.compositing import person_matte
from thcli.faces.crops import align
from thcli.faces.detection import hands
from thcli.faces.detection.hands import NO_HANDS
from thcli.faces.parsing.crops import Regions, parse_faces

if TYPE_CHECKING:
    from thcli.faces.parsing.graph import PictureParser

N = TypeVar("N")
# Crop of head and shoulders: its side over the face's box, and how far its middle lies below
BODY_SCALE, BODY_SHIFT = 2.8, 0.35


@dataclass(frozen=True, slots=True)
class ParsedSource:
    """Regions of a source's face, read closely (`face`) and down to the shoulders (`body`).

    hands: (N, 21, 2) pixels, points of the hands near the face.
    """

    face: Regions
    body: Regions
    hands: Array = field(default_factory=lambda: NO_HANDS)

    def move(self, dst_from_src: Array) -> ParsedSource:
        """Return the regions in pixels of a copy of the source; dst_from_src: (3, 3)."""
        hands_moved = transform_points(dst_from_src, self.hands)
        return ParsedSource(self.face.move(dst_from_src), self.body.move(dst_from_src), hands_moved)


class SourceNetworks:
    """Networks of person, face regions and hands.

    Each is loaded for the first source that needs it. Threads may share them, and they may be sent
    to another process.
    """

    def __init__(self, run: RunOptions, matte: Matte) -> None:
        self._run, self._matte = run, matte
        self._person = _OnDemand(person_matte.load)
        self._parser = _OnDemand(_load_parser)
        self._hands = _OnDemand(hands.load)

    def __reduce__(self) -> tuple[type[SourceNetworks], tuple[RunOptions, Matte]]:
        """Leave the networks behind: another process loads its own."""
        return SourceNetworks, (self._run, self._matte)

    def person_network(self) -> Callable[[Image], Array32] | None:
        """Return the network of `person_probability`, which may raise what that raises."""
        if self._matte == "off":
            return None
        person = self._person.get(self._run, required=self._matte == "on")
        return None if person is None else person.probability

    def person_probability(self, image: Image, *, mirrored: bool = False) -> Array32 | None:
        """Estimate each pixel's person probability; None when the background moves along.

        mirrored: the mean with what the network sees in the mirror image.
        Raises WeightsError: the matte is required and its network is not installed.
        """
        see = self.person_network()
        if see is None:
            return None
        found = see(image)
        if not mirrored:
            return found
        other = see(np.ascontiguousarray(image[:, ::-1]))
        return np.asarray((found + other[:, ::-1]) / 2, np.float32)

    def parse(self, image: Image, face: Face) -> ParsedSource | None:
        """Find the regions of a face, and hands near it where their networks are installed.

        None when the face has no mesh, or the network of regions is not installed or refused.
        Raises DeviceError, NotFiniteError.
        """
        parser = self._parser_of(face)
        if parser is None:
            return None
        parsed = parse_source(parser, image, face)
        finder = self._hands.get(self._run)
        return parsed if finder is None else replace(parsed, hands=finder.find(image, face.box))

    def parse_face(self, image: Image, face: Face) -> Regions | None:
        """Find the regions of a face alone, read closely, where `parse` finds any."""
        parser = self._parser_of(face)
        return None if parser is None else parse_faces(parser, [image], [face])[0]

    def _parser_of(self, face: Face) -> PictureParser | None:
        if face.mesh is None or self._run.licence == "free":
            return None
        return self._parser.get(self._run)


class _OnDemand(Generic[N]):
    """A network that is loaded when it is first needed. Threads may share it."""

    def __init__(self, load: Callable[[RunOptions], N]) -> None:
        self._load, self._lock = load, threading.Lock()
        self._network: N | None = None

    def get(self, run: RunOptions, *, required: bool = False) -> N | None:
        """Return the network; where it is not installed None, or, if required, a WeightsError."""
        with self._lock:
            if self._network is None:
                try:
                    self._network = self._load(run)
                except WeightsError:
                    if required:
                        raise
            return self._network


def _load_parser(run: RunOptions) -> PictureParser:
    from thcli.faces.parsing import graph

    return graph.load(run)


def parse_source(parser: Parser, image: Image, face: Face) -> ParsedSource:
    """Find the regions of a source's face (H, W, 3) and below it."""
    left, top, right, bottom = face.box
    down = BODY_SHIFT * (bottom - top)
    below = np.array([left, top + down, right, bottom + down])
    body = align.square(below, parser.crop_size, BODY_SCALE)
    return ParsedSource(
        parse_faces(parser, [image], [face])[0], parse_faces(parser, [image], [face], [body])[0]
    )
