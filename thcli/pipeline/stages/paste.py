"""`thcli paste`: changed crops back into the clip that they were cut out of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import MediaError, UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import PasteJobOptions, ReadOptions
from thcli.core.protocols import Parser
from thcli.core.stream import ordered_map
from thcli.core.types import Array32, Crop, Frame
from thcli.faces.backends import PARSERS
from thcli.faces.compositing.colour_match import GRID, Transfer, steady_transfers
from thcli.faces.compositing.paste import measure, soft_mask
from thcli.faces.compositing.paste import paste as put
from thcli.faces.crops.align import resized
from thcli.faces.crops.crop import Pixels, crop
from thcli.media.info import MediaInfo
from thcli.media.writing.provenance import Provenance
from thcli.media.writing.target import Target
from thcli.pipeline.dry_run import planned
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import fingerprint, output_path
from thcli.pipeline.job.temp_storage import Spool
from thcli.pipeline.observe.crop_track import CropPlacement, CropTrack
from thcli.pipeline.observe.mask_log import Likely, MaskLog
from thcli.pipeline.stages.crop_align import places_of

DEFAULTS = PasteJobOptions()
TOLERANCE = Fraction(1, 500)  # seconds by which containers round time stamps, and more
REACH = 32  # frames on both sides over which colours are calmed
WINDOW = 128
MEASURE = 128  # pixels of the mask that colours are measured with: they are measured coarsely
NUMBERS = 3 + GRID * GRID * 3
ROW = np.dtype([("numbers", "<f4", NUMBERS), ("seconds", "<f8"), ("shot", "<i8")])


@dataclass(frozen=True, slots=True)
class Piece:
    """A frame of the clip and what is pasted into it: the changed crop, where it lies, and the face's outline; None for nothing."""

    frame: Frame
    crop: Pixels | None = None
    place: CropPlacement | None = None


def paste(
    cropped: str | Path,
    frames: str | Path,
    output: str | Path | None = None,
    options: PasteJobOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Pastes each crop into its frame, colours matched and calmed over time; everything outside of the crops stays.

    cropped: a clip (or folder) of crops, in the size that they were cut with or another of the same shape.  frames: the clip
    that they were cut out of; where crops were cut out of a part of it, the rest passes through.  output: None for
    NAME_pasted beside `frames`.  A frame whose face was not seen stays as it is (Report.passed_through).
    Raises MediaError when the two do not belong together, OutputError, UsageError.
    """
    if str(cropped) == "-" and (str(frames) == "-" or options.crops is None):
        raise UsageError("Crops from standard input need --crops FILE, and frames that are a file.")
    with Job("paste", on) as job:
        info = media.probe(job.enter(media.local(frames)))
        changed = media.probe(job.enter(media.local(cropped)))
        places = CropTrack(options.crops or places_of(cropped))
        pairing = Pairing(info, changed, places, str(frames), str(cropped))
        target = output_path(output, f"{Path(frames).stem}_pasted", frames, info, "paste")
        Target(target, options.output.overwrite).check(0)
        if options.dry_run:
            return planned(job, target, info, ReadOptions())
        brush = Brush(options, job)
        masks = (
            job.enter(MaskLog(_parser(options), options.paste.feather))
            if options.mask == "parse"
            else None
        )
        with ColourLog() as colours:
            if options.paste.colour_match or masks is not None:
                with job.stage("match", info.frames) as step:
                    for piece, transfer in brush.measured(pairing.pieces(job)):
                        if options.paste.colour_match:
                            colours.add(transfer, piece.place)
                        if masks is not None:
                            with job.clock("parse", frames=1):
                                masks.add(piece.frame, None if piece.crop is None else piece.place)
                        step()
            if masks is not None:
                masks.finish()
            writer = media.write(
                target,
                info.size,
                info,
                options.output,
                drive=info,
                frames=info.frames,
                provenance=Provenance("paste"),
                fingerprint=fingerprint((info.path, changed.path, places.file.path), options),
                on=on,
            )
            unseen = 0
            with writer as out, job.stage("paste", info.frames, out.done) as step:
                counter = FrameCounter(out.done)
                for piece, pixels in brush.painted(
                    pairing.pieces(job), colours.calm(), masks, out.done
                ):
                    out.write(pixels, piece.frame.pts, piece.frame.duration)
                    counter.add(piece.frame.pts, piece.frame.duration, piece.frame.time_base)
                    unseen += piece.place is None or piece.place.outline is None
                    step()
        return job.report(target, counter, passed_through=unseen)


class Pairing:
    """Which crop belongs to which frame: by time, or one by one where both are equally many.

    Raises MediaError at once, or while iterating, when they do not belong together.
    """

    def __init__(
        self,
        frames: MediaInfo,
        crops: MediaInfo,
        places: CropTrack,
        frames_name: str,
        crops_name: str,
    ) -> None:
        self._frames, self._crops, self._places = frames, crops, places
        self._names = frames_name, crops_name
        self._in_order = frames.kind == "directory" or (
            frames.frames_exact and frames.frames == len(places)
        )
        said = places.file.path.name
        if frames.size != places.frame_size:
            raise MediaError(
                f"{frames_name} has frames of {_x(frames.size)} pixels, but the crops were cut out of {_x(places.frame_size)}.",
                "Give the clip that they were cut out of.",
            )
        if crops.size[0] * places.size[1] != crops.size[1] * places.size[0]:
            raise MediaError(
                f"{crops_name} has {_x(crops.size)} pixels, but {said} tells of crops of {_x(places.size)}: another shape.",
                "Keep the shape of the crops, or name their own file with --crops.",
            )
        if crops.frames_exact and crops.frames != len(places):
            raise self._lengths(f"{crops.frames}")

    def _lengths(self, count: str) -> MediaError:
        said = self._places.file.path.name
        return MediaError(
            f"{self._names[1]} has {count} frames, but {said} says where {len(self._places)} of them lie.",
            "Keep every frame of the crops, or name their own file with --crops.",
        )

    def pieces(self, job: Job) -> Iterator[Piece]:
        """Every frame of the clip, in order, with its crop where there is one."""
        with (
            media.read(self._frames.path, on=job.on) as frames,
            media.read(self._crops.path, on=job.on) as crops,
        ):
            cut = self._cut(crops)
            waiting = next(cut, None)
            for frame in job.clock.over("decode", frames):
                now = frame.pts * frame.time_base
                if waiting is None or (not self._in_order and now < waiting[1].seconds - TOLERANCE):
                    yield Piece(frame)
                    continue
                if not self._in_order and now > waiting[1].seconds + TOLERANCE:
                    break
                yield Piece(frame, *waiting)
                waiting = next(cut, None)
            if waiting is not None:
                raise MediaError(
                    f"{self._names[0]} has no frame for the crop at {float(waiting[1].seconds):.3f} s.",
                    "Give the clip that the crops were cut out of.",
                )

    def _cut(self, crops: media.Reader) -> Iterator[tuple[Pixels, CropPlacement]]:
        places = iter(self._places)
        width = self._crops.size[0]
        for count, cut in enumerate(crops):
            place = next(places, None)
            if place is None:
                raise self._lengths(f"more than {count}")
            where = place.where if width == place.where.size[0] else resized(place.where, width)
            yield cut.pixels, replace(place, where=where)
        if next(places, None) is not None:
            raise self._lengths("fewer")


class Brush:
    """Measures and pastes on several threads, in order."""

    def __init__(self, options: PasteJobOptions, job: Job) -> None:
        self._options, self._job = options, job
        self._workers = options.run.threads or os.cpu_count() or 1

    def measured(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Transfer | None]]:
        """What makes each crop look like its frame; None where nothing is pasted, and for --no-colour-match."""

        def one(piece: Piece) -> tuple[Piece, Transfer | None]:
            place = piece.place
            if (
                piece.crop is None
                or place is None
                or place.outline is None
                or not self._options.paste.colour_match
            ):
                return piece, None
            with self._job.clock("match", frames=1):
                small = resized(place.where, min(MEASURE, place.where.size[0]))
                mask, before = self._mask(small, place.outline), self._before(piece)
                return piece, measure(
                    piece.frame.pixels, piece.crop, place.where, mask, before=before
                )

        return ordered_map(one, pieces, self._workers, self._workers + 1)

    def painted(
        self,
        pieces: Iterable[Piece],
        transfers: Iterator[Transfer],
        masks: MaskLog | None,
        done: int,
    ) -> Iterator[tuple[Piece, Pixels]]:
        """The finished frames from number `done` on. transfers: one a frame, or none at all.  masks: for --mask parse."""

        def one(
            work: tuple[Piece, Pixels | None, Transfer | None, Likely | None],
        ) -> tuple[Piece, Pixels]:
            piece, previous, transfer, likely = work
            frame, place = piece.frame.pixels, piece.place
            if piece.crop is None or place is None or place.outline is None:
                return piece, frame
            with self._job.clock("paste", frames=1):
                keep = None
                if masks is not None and likely is not None:
                    found = masks.masks(likely, frame, place)
                    mask, keep = found.region, found.keep
                else:
                    mask = self._mask(place.where, place.outline)
                paste = self._options.paste
                grain = (self._options.run.seed, piece.frame.index) if paste.grain else None
                return piece, put(
                    frame,
                    piece.crop,
                    place.where,
                    mask,
                    before=self._before(piece),
                    keep=keep,
                    feather=paste.feather,
                    colour_match=False,
                    transfer=transfer,
                    blend=paste.blend,
                    grain_from=grain,
                    previous=previous,
                )

        def works() -> Iterator[tuple[Piece, Pixels | None, Transfer | None, Likely | None]]:
            likely = iter(()) if masks is None else masks.likely()
            previous: Pixels | None = None
            for piece in pieces:
                yield piece, previous, next(transfers, None), next(likely, None)
                previous = piece.frame.pixels

        return ordered_map(one, islice(works(), done, None), self._workers, self._workers + 1)

    def _mask(self, where: Crop, outline: Array32) -> Array32:
        points = None if self._options.mask == "crop" else outline
        return soft_mask(where, points=points, feather=self._options.paste.feather)

    def _before(self, piece: Piece) -> Pixels | None:
        """The crop as `thcli crop` cut it."""
        assert piece.place is not None
        return crop(piece.frame.pixels, piece.place.where) if self._options.paste.detail else None


def _parser(options: PasteJobOptions) -> Parser:
    parser: Parser = PARSERS.backend(PARSERS.resolve(options.parser, options.run)).load(options.run)
    return parser


class ColourLog(Spool):
    """The colour correction of each frame, on disk until all are known. A context manager."""

    def __init__(self) -> None:
        super().__init__("colours")
        self._count = 0

    def add(self, transfer: Transfer | None, place: CropPlacement | None) -> None:
        """The next frame's correction; None where nothing is pasted."""
        row = np.zeros(1, ROW)
        row["shot"], row["seconds"] = -1, self._count  # apart from all that is pasted
        if transfer is not None and place is not None:
            row["numbers"] = np.concatenate([transfer.gain, transfer.offset.ravel()])
            row["shot"], row["seconds"] = place.scene, float(place.seconds)
        self._file.write(row.tobytes())
        self._count += 1

    def calm(self) -> Iterator[Transfer]:
        """Every frame's correction, calmed within its scene; nothing when none were added."""
        for start in range(0, self._count, WINDOW):
            first, stop = max(start - REACH, 0), min(start + WINDOW, self._count)
            rows = self._rows(first, min(stop + REACH, self._count))
            transfers = [
                Transfer(row[:3], row[3:].reshape(GRID, GRID, 3)) for row in rows["numbers"]
            ]
            yield from steady_transfers(transfers, rows["seconds"], rows["shot"])[
                start - first : stop - first
            ]

    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        self._file.seek(start * ROW.itemsize)
        return np.frombuffer(self._file.read((stop - start) * ROW.itemsize), ROW)


def _x(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
