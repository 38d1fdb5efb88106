"""Pass 2 of refining: crops go through the refiner in batches, and what it changed goes back, calmed, into every frame."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import cv2
import numpy as np

from thcli.core.errors import WeightsError
from thcli.core.imaging import to_uint8
from thcli.core.options import ChangeOptions, RefineOptions, RunOptions
from thcli.core.protocols import Parser, Refiner
from thcli.core.stream import ordered_map, prefetch
from thcli.core.types import Array32, Crop, Face, Frame, Image
from thcli.faces.backends import PARSERS
from thcli.faces.compositing.mask import rim_mask
from thcli.faces.compositing.paste import carry, paste
from thcli.faces.crops.crop import Pixels, crop, moved
from thcli.faces.parsing.crops import Regions, regions
from thcli.pipeline.job.job import Job
from thcli.pipeline.job.replayable_frames import ReplayableFrames
from thcli.pipeline.observe.crop_track import CropPlacement
from thcli.pipeline.refining.subjects import Subject, face_of
from thcli.pipeline.refining.temporal_smoothing import REACH, Change, calmed
from thcli.pipeline.sources.framing import shown
from thcli.refiners.backends import REFINERS

T = TypeVar("T")
_NEXT = 0.05  # of the parser's view: how far beside the person changes count, as its outline moves with them
_RIM = 0.08  # width of the soft edge where the parser's view ends, as a part of its side


@dataclass(frozen=True, slots=True)
class _Made(Generic[T]):
    """A frame, what belongs to it, and each subject's place and change there (None where it was not seen)."""

    frame: Frame
    own: T
    places: tuple[CropPlacement, ...]
    changes: tuple[Change | None, ...]


@dataclass(frozen=True, slots=True)
class RefinePass:
    """A refiner, loaded, and how what it changes goes back. parser: tells the person from the background; None where all may change."""

    name: str
    refiner: Refiner
    parser: Parser | None
    how: RefineOptions
    change: ChangeOptions
    run: RunOptions

    @classmethod
    def load(
        cls, name: str, how: RefineOptions, change: ChangeOptions, run: RunOptions
    ) -> RefinePass:
        """name: of a backend, or auto. Raises UsageError for options that it cannot follow, WeightsError, DeviceError."""
        own = REFINERS.resolve(name, run)
        if not own:
            raise WeightsError(
                "No refiner has weights that may be used with --licence free.",
                "Use --licence any if their terms fit your use (thcli list refiners).",
            )
        refiner: Refiner = REFINERS.backend(own).load(run)
        refiner.calls(how)  # now, rather than after pass 1
        keep = change.background == "keep"
        parser = PARSERS.backend(PARSERS.resolve(change.parser, run)).load(run) if keep else None
        return cls(own, refiner, parser, how, change, run)

    def frames(
        self, replayable: ReplayableFrames[T], subjects: Sequence[Subject], start: int, job: Job
    ) -> Iterator[tuple[T, Pixels]]:
        """What belongs to every frame from number `start` on, and the refined frame, in order.

        Neither batches nor `start` decide anything about a pixel (threads at most a last bit, as torch sums). Raises what playing and the refiner raise.
        """
        reach = REACH if self.change.calm else 0
        sources = [
            self.refiner.encode_source(subject.picture, subject.face) for subject in subjects
        ]
        soft = shown(self.refiner)

        def put(around: tuple[Sequence[_Made[T]], int]) -> tuple[T, Pixels]:
            with job.clock("put", frames=1):
                return self._put(*around, soft)

        workers = self.run.threads or os.cpu_count() or 1
        first = max(start - reach, 0)
        with closing(prefetch(replayable.frames_from(first), self.run.batch_size)) as ahead:
            made = self._made(ahead, subjects, sources, first, job)
            yield from ordered_map(
                put, islice(_around(made, reach), start - first, None), workers, workers + 1
            )

    def _made(
        self,
        frames: Iterable[tuple[Frame, T]],
        subjects: Sequence[Subject],
        sources: Sequence[Any],
        first: int,
        job: Job,
    ) -> Iterator[_Made[T]]:
        """Every frame with its changes, batch by batch."""
        items = iter(frames)
        while batch := list(islice(items, self.run.batch_size)):
            pictures = [frame for frame, _ in batch]
            rows, changes = [], []
            for subject, source in zip(subjects, sources, strict=True):
                places = list(subject.places.window(first, first + len(batch)))
                rows.append(places)
                changes.append(self._changes(pictures, places, source, subject, job))
            first += len(batch)
            for (frame, own), here, change in zip(
                batch, zip(*rows, strict=True), zip(*changes, strict=True), strict=True
            ):
                yield _Made(frame, own, here, change)

    def _changes(
        self,
        frames: Sequence[Frame],
        places: Sequence[CropPlacement],
        source: Any,
        subject: Subject,
        job: Job,
    ) -> list[Change | None]:
        """What becomes of one face in a batch of frames. source: what the refiner knows of it."""
        out: list[Change | None] = [None] * len(frames)
        seen = [i for i, place in enumerate(places) if place.outline is not None]
        if not seen:
            return out
        pictures = [to_uint8(frames[i].pixels) for i in seen]
        here = [places[i] for i in seen]
        crops = [
            np.asarray(crop(p, place.where), np.uint8)
            for p, place in zip(pictures, here, strict=True)
        ]
        view = subject.still
        still = (
            None
            if view is None
            else [np.asarray(crop(view, place.where), np.uint8) for place in here]
        )
        faces = [face_of(place) for place in here]
        own = [
            moved(face, place.where.crop_from_frame)
            for face, place in zip(faces, here, strict=True)
        ]
        with job.clock("refine", frames=len(seen)):
            driving = self.refiner.attributes(crops, own)
            made = self.refiner.refine(
                crops,
                source,
                driving,
                [frames[i].index for i in seen],
                self.how,
                still,
                source_is_reference=subject.source_is_reference,
            )
        with job.clock("parse", frames=len(seen)):
            counts = self._counts(pictures, faces, here)
        for i, coarse, better, count in zip(seen, crops, made, counts, strict=True):
            added = (better.astype(np.float32) - coarse) * (count[..., None] / np.float32(255))
            out[i] = Change(coarse, np.concatenate([added, count[..., None]], -1), places[i].scene)
        return out

    def _counts(
        self, pictures: Sequence[Image], faces: Sequence[Face], places: Sequence[CropPlacement]
    ) -> list[Array32]:
        """How much of each crop's pixels may change, (n, n) 0..1."""
        size = (self.refiner.crop_size, self.refiner.crop_size)
        if self.parser is None:
            return [np.ones(size, np.float32)] * len(places)
        found = regions(self.parser, pictures, faces)
        return [person_in(one, place.where) for one, place in zip(found, places, strict=True)]

    def _put(self, around: Sequence[_Made[T]], middle: int, soft: Array32) -> tuple[T, Pixels]:
        """The frame in the middle with its changes put in."""
        made = around[middle]
        pixels: Pixels = made.frame.pixels
        for number, (place, own) in enumerate(zip(made.places, made.changes, strict=True)):
            if own is None:
                continue
            change = calmed([other.changes[number] for other in around], middle)
            added, count = change[..., :3], change[..., 3]
            if self.change.detail:
                before = _unit(crop(made.frame.pixels, place.where))
                pixels = carry(pixels, before, before + added, place.where, soft)
            else:
                better = np.clip(_unit(own.coarse) + added, 0, 1)
                pixels = paste(
                    pixels, better, place.where, soft * count, colour_match=False, blend="feather"
                )
        return made.own, pixels


def person_in(found: Regions, where: Crop) -> Array32:
    """How much each pixel of a crop is the parsed person or next to it, (height, width) 0..1; nothing ends abruptly where the parser's view does."""
    reach = 2 * round(_NEXT * found.where.size[0]) + 1
    person = cv2.dilate(
        np.float32(1) - found.probabilities[0],
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)),
    )
    person = np.asarray(cv2.GaussianBlur(person, (0, 0), reach / 6), np.float32) * rim_mask(
        found.where.size, _RIM
    )
    out = np.zeros(where.size[::-1], np.float32)
    layer = found.layer_in(where, person)
    if layer is not None:
        part, (left, top) = layer
        out[top : top + part.shape[0], left : left + part.shape[1]] = part
    return out


def _around(made: Iterator[_Made[T]], reach: int) -> Iterator[tuple[Sequence[_Made[T]], int]]:
    """Each item with up to `reach` before and after it, and which of these it is."""
    window: deque[_Made[T]] = deque()
    middle = 0
    for item in made:
        window.append(item)
        if len(window) - middle > reach:
            yield tuple(window), middle
            middle, window = _onward(window, middle, reach)
    while middle < len(window):
        yield tuple(window), middle
        middle, window = _onward(window, middle, reach)


def _onward(window: deque[_Made[T]], middle: int, reach: int) -> tuple[int, deque[_Made[T]]]:
    """The next one's place, and what it still needs."""
    if middle < reach:
        return middle + 1, window
    window.popleft()
    return middle, window


def _unit(pixels: Pixels) -> Array32:
    """Integers as float32 in 0..1."""
    return np.asarray(
        pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max), np.float32
    )
