"""One face of a clip that is edited: pass 1 keeps what it is and where it lies, pass 2 changes it, frame by frame alike."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from thcli.core.geometry import box_of
from thcli.core.imaging import smoothstep, to_uint8
from thcli.core.options import EditOptions, EditRegion, TemplateOptions
from thcli.core.protocols import Parser
from thcli.core.stream import ordered_map
from thcli.core.types import Array, Array32, Crop, Face
from thcli.faces.compositing.paste import carry
from thcli.faces.crops.crop import Pixels, crop, moved
from thcli.faces.parsing.classes import EARS, FACE, HAIR, NECK, Group, number, together
from thcli.faces.parsing.crops import Regions
from thcli.motion import canonical
from thcli.motion.file import MotionFile, MotionWriter
from thcli.motion.observe import observe
from thcli.motion.smooth import ZeroPhase
from thcli.motion.timeline import scan
from thcli.pipeline.editing.edit_log import NumberLog, RegionLog
from thcli.pipeline.editing.steps import EditStep, View
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_track import SUFFIX, CropPlacement, CropTrack, write_places
from thcli.pipeline.observe.mask_log import Likely, MaskLog
from thcli.pipeline.observe.region_stream import Divided
from thcli.pipeline.observe.track_log import TrackLog

WINDOW = 64  # frames of a track at a time
LOOKS = TemplateOptions(
    template="square", size=256, scale=2.4
)  # where the parser looks: the whole head and its hair
GROWN: dict[EditRegion, float] = {
    "face": 0.02,
    "hair": 0.015,
    "all": 0.04,
}  # softness of a mask, of the face's height
TRUST = 0.3  # how much a difference from the usual face says of what lies before it: light that slides over a turning head differs too
OPEN = (0.08, 0.6)  # of the softened region: nothing is changed below, all above
_SEEN_THROUGH = frozenset({number("eye_g")})
_SKIN: Group = FACE | EARS | NECK | _SEEN_THROUGH
REGIONS: dict[EditRegion, Group] = {
    "face": _SKIN,
    "hair": HAIR,
    "all": _SKIN | HAIR | frozenset(map(number, ("hat", "ear_r", "neck_l"))),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A face in one frame. place: where the parser looked.  where: of each way's crop.  number: how many frames showed it before.

    face: in the frame's pixels.  likely: what lies before it (see `masking`).
    """

    place: CropPlacement
    where: tuple[Crop, ...]
    number: int
    face: Face
    probabilities: Array32
    likely: Likely


class CalmMeshes:
    """The meshes of a track without the tracker's noise: where a head keeps still, what is painted on it does too.

    places: of crops that turn with the head; its meshes move as the calmed crops do.
    """

    def __init__(self, path: Path, log: TrackLog, track: int, places: CropTrack) -> None:
        cuts = set(log.cuts)
        with MotionWriter(path) as writer:
            here = iter(places)
            for frames, faces in log.windows(track, WINDOW):
                calm = [
                    None if face is None else replace(face, mesh=place.mesh)
                    for face, place in zip(faces, islice(here, len(frames)), strict=True)
                ]
                writer.append(observe(frames, calm, [frame.index in cuts for frame in frames]))
        self._store = MotionFile(path)
        self._size = log.size
        windows = (self._store.window(i, i + WINDOW) for i in range(0, len(self._store), WINDOW))
        pose = np.concatenate([np.asarray(w.arrays["pose"], np.float64) for w in windows])
        self._calm = ZeroPhase(self._store, replace(scan(self._store), pose=pose), 1.0)

    def faces(self, log: TrackLog, track: int) -> Iterator[Face | None]:
        """The face in every frame, None where it was not seen."""
        start = 0
        for frames, faces in log.windows(track, WINDOW):
            stop = start + len(frames)
            shape = canonical.neutral() + self._calm.expression(start, stop)
            meshes = canonical.unpack(self._calm.pose[start:stop], shape, self._size).mesh()
            for face, mesh in zip(faces, meshes, strict=True):
                yield (
                    None
                    if face is None
                    else replace(
                        face, mesh=mesh.astype(np.float32), box=box_of(mesh).astype(np.float32)
                    )
                )
            start = stop


class EditedFace:
    """One face. Pass 1: `learn` takes every frame in order, then `finalize`. Pass 2: `parts`, in order, and `edited`."""

    def __init__(
        self,
        track: int,
        steps: Sequence[EditStep],
        log: TrackLog,
        parser: Parser,
        options: EditOptions,
        name: str,
        job: Job,
    ) -> None:
        self._track, self._ways, self._log, self._options, self._job = (
            track,
            steps,
            log,
            options,
            job,
        )
        temp_dir = job.temp_dir()
        with job.clock("calm"):
            looks = [LOOKS, *(way.template for way in steps)]
            paths = [temp_dir / f"{i}{SUFFIX}" for i in range(len(looks))]
            for path, template in zip(paths, looks, strict=True):
                self.unseen = write_places(path, log, track, template, options.steady, name)
            self._places = [CropTrack(path) for path in paths]
            self._meshes = CalmMeshes(temp_dir / "motion.safetensors", log, track, self._places[1])
        self._regions = job.enter(RegionLog())
        self._numbers = [job.enter(NumberLog()) for _ in steps]
        self._samples: list[tuple[View, Array32] | None] = [None for _ in steps]
        self._settled: list[Any] = []
        self._masks = job.enter(MaskLog(parser, 0.0, REGIONS["all"], TRUST, self._regions.add))

    def faces(self) -> Iterator[Face | None]:
        """The face in every frame."""
        return self._meshes.faces(self._log, self._track)

    def places(self) -> Iterator[tuple[CropPlacement, ...]]:
        """Where the parser and each way look, in every frame."""
        return zip(*self._places, strict=True)

    def learn(
        self, window: Sequence[Divided], own: int, places: Sequence[tuple[CropPlacement, ...]]
    ) -> None:
        """The next frames of pass 1. own: which of their faces this one is, parsed at the first of each frame's places."""
        for seen, place in zip(window, places, strict=True):
            known = seen.seen.faces[own] is not None
            self._masks.add(seen.seen.frame, place[0] if known else None, seen.parsed[own])
        for i, (way, log) in enumerate(zip(self._ways, self._numbers, strict=True)):
            views = [
                _view(seen.seen.frame.pixels, face, place[i + 1].where, found)
                for seen, place in zip(window, places, strict=True)
                if (face := seen.seen.faces[own]) is not None
                and (found := seen.parsed[own].regions) is not None
            ]
            if views:
                with self._job.clock("learn", frames=len(views)):
                    learnt = way.learn(views)
                log.add(learnt)
                if self._samples[i] is None:
                    self._samples[i] = views[0], learnt.own[0]

    def finalize(self) -> None:
        """Call once, between the passes: what is done is decided for the whole clip."""
        self._masks.finish()
        for way, log, sample in zip(self._ways, self._numbers, self._samples, strict=True):
            if sample is not None:
                self._settled.append(way.finalize(log.mean, *sample))

    def parts(self) -> Iterator[Part | None]:
        """Of every frame, in order; None where the face was not seen."""
        seen = 0
        kept = self.faces(), self.places(), self._regions.read(), self._masks.likely()
        for face, places, planes, likely in zip(*kept, strict=True):
            if face is None or planes is None or likely is None:
                yield None
                continue
            yield Part(places[0], tuple(p.where for p in places[1:]), seen, face, planes, likely)
            seen += 1

    def fronts(self, pixels: Sequence[Pixels], parts: Sequence[Part | None]) -> list[Array32]:
        """What lies before the face in the frames that show it, each in the pixels of the parser's crop."""
        there = [
            (picture, part) for picture, part in zip(pixels, parts, strict=True) if part is not None
        ]
        with self._job.clock("mask", frames=len(there)):
            return [
                self._masks.masks(part.likely, picture, part.place).keep for picture, part in there
            ]

    def edited(
        self,
        pixels: Sequence[Pixels],
        parts: Sequence[Part | None],
        front: Sequence[Array32],
        turns: Sequence[int] | None = None,
        *,
        alone: bool = False,
    ) -> list[Pixels]:
        """Frames with this face changed; those that do not show it as they are.

        front: see `fronts`.  turns: which of the ways; None for all.  alone: each frame's own identity and look is edited, not the
        clip's: what frame-wise methods do, for comparison.
        """
        out = list(pixels)
        there = [i for i, part in enumerate(parts) if part is not None]
        shown = [part for part in parts if part is not None]
        for turn in (range(len(self._ways)) if turns is None else turns) if there else ():
            way = self._ways[turn]
            views = [
                _view(
                    out[i],
                    part.face,
                    part.where[turn],
                    Regions(part.place.where, part.probabilities),
                )
                for i, part in zip(there, shown, strict=True)
            ]
            with self._job.clock(way.name, frames=len(views)):
                made = self._made(turn, way, views, shown[0].number, alone)
            workers = self._options.run.threads or os.cpu_count() or 1

            def one(
                k: int,
                way: EditStep = way,
                views: list[View] = views,
                made: list[tuple[Pixels, Pixels]] = made,
            ) -> Pixels:
                part, where = shown[k], views[k].where
                mask = _brought(
                    _open(part, way.touches, self._options.region), part.place.where, where
                )
                keep = _brought(front[k], part.place.where, where)
                return carry(out[there[k]], *made[k], where, mask, keep=keep)

            with self._job.clock("carry", frames=len(views)):
                done = list(ordered_map(one, range(len(there)), workers, workers + 1))
            for i, frame in zip(there, done, strict=True):
                out[i] = frame
        return out

    def _made(
        self, turn: int, way: EditStep, views: list[View], first: int, alone: bool
    ) -> list[tuple[Pixels, Pixels]]:
        rows, log = self._numbers[turn].rows(first, len(views)), self._numbers[turn]
        if not alone:
            return list(way.make(views, rows.own, log.mean, self._settled[turn]))
        out: list[tuple[Pixels, Pixels]] = []
        for view, who, own in zip(views, rows.shared, rows.own, strict=True):
            out += way.make([view], own[None], who, way.finalize(who, view, own))
        return out


def paired(people: Sequence[EditedFace], skip: int) -> Iterator[tuple[Part | None, ...]]:
    """The parts of all faces in every frame from number `skip` on."""
    return islice(zip(*(person.parts() for person in people), strict=True), skip, None)


def _view(pixels: Pixels, face: Face, where: Crop, regions: Regions) -> View:
    picture = to_uint8(pixels)
    return View(
        np.asarray(crop(picture, where), np.uint8),
        where,
        moved(face, where.crop_from_frame),
        regions,
    )


def _open(part: Part, touches: EditRegion, asked: EditRegion) -> Array32:
    """Where a face may be changed, 0..1 in the pixels of the parser's crop: a region, softened outwards."""
    region = touches if asked == "auto" else asked
    height = float(np.ptp(part.face.box[1::2])) * _zoom(part.place.where.crop_from_frame)
    inside = together(part.probabilities, REGIONS[region])
    soft = cv2.GaussianBlur(inside, (0, 0), max(GROWN[region] * height, 0.5))
    return np.asarray(smoothstep(*OPEN, soft), np.float32)


def _brought(mask: Array32, own: Crop, other: Crop) -> Array32:
    """A mask of one crop in another's pixels, 0 where the first does not reach."""
    other_from_own = other.crop_from_frame @ np.linalg.inv(own.crop_from_frame)
    found = crop(mask, Crop(other_from_own, other.size), border="black", kernel="linear")
    return np.asarray(np.clip(found, 0, 1), np.float32)


def _zoom(matrix: Array) -> float:
    return float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
