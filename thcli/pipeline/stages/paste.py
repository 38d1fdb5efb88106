"""`thcli paste`: changed crops pasted into the clip they were cropped from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import MediaError, NotFiniteError, UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import PasteJobOptions
from thcli.core.protocols import Parser
from thcli.core.stream import ordered_map
from thcli.core.types import Array32, Crop, Frame
from thcli.faces.backends import PARSERS
from thcli.faces.compositing.colour_match import GRID, ColourTransfer, smooth_transfers
from thcli.faces.compositing.paste import PasteContext, measure_transfer, soft_mask
from thcli.faces.compositing.paste import paste as paste_crop
from thcli.faces.compositing.pixel_device import pixel_ops
from thcli.faces.crops.align import resize
from thcli.faces.crops.crop import Pixels, crop
from thcli.media.writing.target import OutputTarget
from thcli.pipeline.check_options import check_paste
from thcli.pipeline.dry_run import plan
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import output_path
from thcli.pipeline.job.spans import least_frames
from thcli.pipeline.job.temp_storage import TemporaryFiles
from thcli.pipeline.observe.crop_track import CropTrack, TrackedCrop
from thcli.pipeline.observe.mask_log import MaskEvidence, MaskLog
from thcli.pipeline.stages.crop_align import crop_track_path
from thcli.pipeline.stages.crop_pairing import CropPairing, PasteItem

DEFAULTS = PasteJobOptions()
REACH = 32  # frames on both sides over which colours are smoothed
WINDOW = 128  # frames of colours in memory
MEASURE_SIDE = 128  # side of the mask for the measurement of colours, in pixels
_ROW = np.dtype([("values", "<f4", 3 + GRID * GRID * 3), ("seconds", "<f8"), ("scene", "<i8")])


def paste(
    cropped: str | Path,
    frames: str | Path,
    output: str | Path | None = None,
    options: PasteJobOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Paste each crop into its frame, with colours matched and smoothed over time.

    Pixels outside of the crops do not change. A frame whose face was not detected passes through
    unchanged (Report.passed_through).

    Args:
        cropped: video or folder of changed crops, in their original size or another size of the
            same shape.
        frames: the clip they were cropped from. Frames beyond the range of the crops pass through.
        output: file, folder/ or '-'; None for NAME_pasted beside `frames`.
        options: mask, colour match, blend mode.
        on: listener for progress and warnings.

    Raises:
        MediaError: an input cannot be read, or the two do not belong together.
        OutputError: the output exists or cannot be written.
        UsageError: crops from standard input without --crops.
    """
    if str(cropped) == "-" and (str(frames) == "-" or options.crops is None):
        raise UsageError("Crops from standard input need --crops FILE, and frames that are a file.")
    check_paste(output, options)
    options = replace(options, read=replace(options.read, square_pixels=True))
    with Job("paste", on, options, (cropped, frames)) as job:
        info = media.probe(job.seekable(frames), options.read)
        changed = media.probe(job.seekable(cropped), options.read)
        crop_track = CropTrack(_existing_track(options.crops or crop_track_path(cropped)))
        pairing = CropPairing(info, changed, crop_track, (str(frames), str(cropped)), options.read)
        least = least_frames(info, options.read)
        target = output_path(output, f"{Path(frames).stem}_pasted", frames, info, "paste", least)
        OutputTarget(target, options.output.overwrite).check(0)
        if options.dry_run:
            return plan(job, target, info, options.read)
        paster = CropPaster(options, job)
        masks = None
        if options.mask == "parse":
            masks = job.enter(MaskLog(_load_parser(options), options.paste.feather))
        with ColourLog() as colours:
            if options.paste.colour_match or masks is not None:
                _measure(pairing, paster, colours, masks, info.frames, job)
            write_plan = media.WritePlan(
                frames=info.frames,
                drive=info,
                provenance=job.provenance(),
                fingerprint=job.fingerprint(crop_track.file.path),
            )
            writer = media.write(target, info.size, info, options.output, write_plan, on=on)
            unseen = 0
            with writer as out, job.stage("paste", info.frames, out.done) as step:
                counter = FrameCounter(out.done)
                items, transfers = pairing.items(job), colours.smooth()
                for item, pixels in paster.paste_frames(items, transfers, masks, out.done):
                    out.write(pixels, item.frame.pts, item.frame.duration)
                    frame = item.frame
                    succeeded = frame.index not in job.failed_frames
                    counter.add(frame.pts, frame.duration, frame.time_base, succeeded=succeeded)
                    unseen += item.tracked_crop is None or item.tracked_crop.outline is None
                    step()
        return job.report(target, counter, passed_through=unseen)


def _existing_track(path: Path) -> Path:
    """Return the path of a crop track. Raises MediaError where there is none."""
    try:
        path.stat()
    except OSError as exc:
        is_lost = isinstance(exc, FileNotFoundError)
        reason = "it does not exist" if is_lost else exc.strerror or str(exc)
        raise MediaError(
            f"The crop track {path} cannot be read: {reason}.",
            "'thcli crop' writes it beside its crops, which come first: thcli paste CROPS CLIP.",
        ) from exc
    return path


def _measure(
    pairing: CropPairing,
    paster: CropPaster,
    colours: ColourLog,
    masks: MaskLog | None,
    total: int | None,
    job: Job,
) -> None:
    """Run pass 1: measure the colours of every frame and log the evidence for its masks."""
    with job.stage("match", total) as step:
        for item, transfer in paster.measure_colours(pairing.items(job)):
            if paster.matches_colours:
                colours.add(transfer, item.tracked_crop)
            if masks is not None:
                with job.clock("parse", frames=1):
                    try:
                        masks.add(item.frame, None if item.crop is None else item.tracked_crop)
                    except NotFiniteError:
                        job.failed_frames.add(item.frame.index)
            step()
    if masks is not None:
        masks.finish()


@dataclass(frozen=True, slots=True)
class _PasteTask:
    """A frame with all that its composite depends on.

    previous: pixels of the frame before.
    transfer: smoothed colour correction.
    evidence: for the masks of --mask parse.
    """

    item: PasteItem
    previous: Pixels | None
    transfer: ColourTransfer | None
    evidence: MaskEvidence | None


class CropPaster:
    """Measurement of colours and compositing, on several threads, in order."""

    def __init__(self, options: PasteJobOptions, job: Job) -> None:
        self._options, self._job = options, job
        self._ops = pixel_ops(options.run.device)
        self._workers = options.run.workers

    @property
    def matches_colours(self) -> bool:
        """True with --colour-match."""
        return self._options.paste.colour_match

    def measure_colours(
        self, items: Iterable[PasteItem]
    ) -> Iterator[tuple[PasteItem, ColourTransfer | None]]:
        """Measure the colour correction of each crop.

        It is None where nothing is pasted, and with --no-colour-match.
        """

        def measure(item: PasteItem) -> tuple[PasteItem, ColourTransfer | None]:
            tracked = item.tracked_crop
            if (
                item.crop is None
                or tracked is None
                or tracked.outline is None
                or not self.matches_colours
            ):
                return item, None
            with self._job.clock("match", frames=1):
                placement = tracked.placement
                small = resize(placement, min(MEASURE_SIDE, placement.size[0]))
                mask = self._mask(small, tracked.outline)
                original = self._original_crop(item.frame, placement)
                return item, measure_transfer(
                    item.frame.pixels, item.crop, placement, mask, original=original
                )

        return ordered_map(measure, items, self._workers, self._workers + 1)

    def paste_frames(
        self,
        items: Iterable[PasteItem],
        transfers: Iterator[ColourTransfer],
        masks: MaskLog | None,
        done: int,
    ) -> Iterator[tuple[PasteItem, Pixels]]:
        """Yield every frame from number `done` on with its crop pasted.

        Args:
            items: all frames.
            transfers: one per frame, or none at all.
            masks: for --mask parse.
            done: frames that an interrupted run has written.
        """

        def tasks() -> Iterator[_PasteTask]:
            evidence = iter(()) if masks is None else masks.evidence()
            previous: Pixels | None = None
            for item in items:
                yield _PasteTask(item, previous, next(transfers, None), next(evidence, None))
                previous = item.frame.pixels

        def composite(task: _PasteTask) -> tuple[PasteItem, Pixels]:
            return task.item, self._composite(task, masks)

        remaining = islice(tasks(), done, None)
        return ordered_map(composite, remaining, self._workers, self._workers + 1)

    def _composite(self, task: _PasteTask, masks: MaskLog | None) -> Pixels:
        item, frame = task.item, task.item.frame
        tracked = item.tracked_crop
        if item.crop is None or tracked is None or tracked.outline is None:
            return frame.pixels
        if frame.index in self._job.failed_frames:
            return frame.pixels
        placement, occlusion_mask = tracked.placement, None
        with self._job.clock("paste", frames=1):
            if masks is not None and task.evidence is not None:
                found = masks.masks(task.evidence, frame.pixels, tracked)
                mask, occlusion_mask = found.region, found.occlusion
            else:
                mask = self._mask(placement, tracked.outline)
            context = PasteContext(
                original=self._original_crop(frame, placement),
                occlusion_mask=occlusion_mask,
                transfer=task.transfer,
                grain_key=(self._options.run.seed, frame.index),
                previous_frame=task.previous,
            )
            options = replace(self._options.paste, colour_match=False)
            return paste_crop(
                frame.pixels,
                item.crop,
                placement,
                mask,
                context=context,
                options=options,
                ops=self._ops,
            )

    def _mask(self, placement: Crop, outline: Array32) -> Array32:
        points = None if self._options.mask == "crop" else outline
        return soft_mask(placement, points=points, feather=self._options.paste.feather)

    def _original_crop(self, frame: Frame, placement: Crop) -> Pixels | None:
        """Return the crop as `thcli crop` cut it, None with --no-detail."""
        return crop(frame.pixels, placement) if self._options.paste.detail else None


def _load_parser(options: PasteJobOptions) -> Parser:
    parser: Parser = PARSERS.backend(PARSERS.resolve(options.parser, options.run)).load(options.run)
    return parser


class ColourLog(TemporaryFiles):
    """Colour corrections of all frames, on disk until they are smoothed. A context manager."""

    def __init__(self) -> None:
        super().__init__("colours")
        self._count = 0

    def add(self, transfer: ColourTransfer | None, tracked_crop: TrackedCrop | None) -> None:
        """Add the correction of the next frame, None where nothing is pasted."""
        row = np.zeros(1, _ROW)
        row["scene"], row["seconds"] = -1, self._count  # a scene apart from all that is pasted
        if transfer is not None and tracked_crop is not None:
            row["values"] = np.concatenate([transfer.gain, transfer.offset.ravel()])
            row["scene"], row["seconds"] = tracked_crop.scene, float(tracked_crop.seconds)
        self._file.write(row.tobytes())
        self._count += 1

    def smooth(self) -> Iterator[ColourTransfer]:
        """Yield the correction of every frame, smoothed within its scene; nothing if empty."""
        for start in range(0, self._count, WINDOW):
            first, stop = max(start - REACH, 0), min(start + WINDOW, self._count)
            rows = self._read(first, min(stop + REACH, self._count))
            transfers = [
                ColourTransfer(values[:3], values[3:].reshape(GRID, GRID, 3))
                for values in rows["values"]
            ]
            smoothed = smooth_transfers(transfers, rows["seconds"], rows["scene"])
            yield from smoothed[start - first : stop - first]

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        self._file.seek(start * _ROW.itemsize)
        return np.frombuffer(self._file.read((stop - start) * _ROW.itemsize), _ROW)
