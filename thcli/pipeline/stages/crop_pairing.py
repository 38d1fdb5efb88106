"""Assignment of changed crops to the frames they were cropped from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from thcli import media
from thcli.core.errors import MediaError
from thcli.core.options import ReadOptions
from thcli.core.types import Frame
from thcli.faces.crops.align import resize
from thcli.faces.crops.crop import Pixels
from thcli.media.info import MediaInfo
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_track import CropTrack, TrackedCrop

TOLERANCE = Fraction(1, 500)  # seconds; containers round time stamps by less


@dataclass(frozen=True, slots=True)
class PasteItem:
    """A frame of the clip and the crop that is pasted into it.

    crop: (h, w, 3) changed crop; None where nothing is pasted.
    tracked_crop: its placement and face, in the size of `crop`.
    """

    frame: Frame
    crop: Pixels | None = None
    tracked_crop: TrackedCrop | None = None


class CropPairing:
    """Assignment of crops to frames, by time, or in order when both have the same number.

    Raises MediaError at once, or while iterating, when they do not belong together.
    """

    def __init__(
        self,
        frames: MediaInfo,
        crops: MediaInfo,
        crop_track: CropTrack,
        names: tuple[str, str],
        read: ReadOptions,
    ) -> None:
        """Check that sizes and lengths match.

        Args:
            frames: the clip.
            crops: video or folder of the changed crops.
            crop_track: placement of the crops.
            names: of frames and crops, for messages.
            read: largest size of a frame.
        """
        frames_name, crops_name = self._names = names
        self._read = read.whole
        self._frames, self._crops, self._crop_track = frames, crops, crop_track
        self._in_order = frames.kind == "directory" or (
            frames.frames_exact and frames.frames == len(crop_track)
        )
        if frames.size != crop_track.frame_size:
            raise MediaError(
                f"{frames_name} has frames of {_text(frames.size)} pixels, but the crops are "
                f"from frames of {_text(crop_track.frame_size)}.",
                "Give the clip that they were cropped from.",
            )
        if crops.size[0] * crop_track.size[1] != crops.size[1] * crop_track.size[0]:
            raise MediaError(
                f"{crops_name} has {_text(crops.size)} pixels, but {crop_track.file.path.name} is "
                f"of crops of {_text(crop_track.size)}: another shape.",
                "Keep the shape of the crops, or name their own file with --crops.",
            )
        if crops.frames_exact and crops.frames != len(crop_track):
            raise self._length_error(f"{crops.frames}")

    def _length_error(self, count: str) -> MediaError:
        name, length = self._crop_track.file.path.name, len(self._crop_track)
        return MediaError(
            f"{self._names[1]} has {count} frames, but {name} places {length} crops.",
            "Keep every frame of the crops, or name their own file with --crops.",
        )

    def items(self, job: Job) -> Iterator[PasteItem]:
        """Yield every frame of the clip, in order, with its crop if there is one."""
        with (
            media.read(self._frames.path, self._read, device=job.device, on=job.on) as frames,
            media.read(self._crops.path, self._read, device=job.device, on=job.on) as crops,
        ):
            placed = self._placed_crops(crops)
            waiting = next(placed, None)
            for frame in job.clock.time_each("decode", frames):
                now = frame.pts * frame.time_base
                if waiting is None or (not self._in_order and now < waiting[1].seconds - TOLERANCE):
                    yield PasteItem(frame)
                    continue
                if not self._in_order and now > waiting[1].seconds + TOLERANCE:
                    break
                yield PasteItem(frame, *waiting)
                waiting = next(placed, None)
            if waiting is not None:
                raise MediaError(
                    f"{self._names[0]} has no frame for the crop at "
                    f"{float(waiting[1].seconds):.3f} s.",
                    "Give the clip that the crops were cropped from.",
                )

    def _placed_crops(self, crops: media.Reader) -> Iterator[tuple[Pixels, TrackedCrop]]:
        """Yield every crop with its placement, resized to its pixels."""
        tracked_crops = iter(self._crop_track)
        width = self._crops.size[0]
        for count, frame in enumerate(crops):
            tracked = next(tracked_crops, None)
            if tracked is None:
                raise self._length_error(f"more than {count}")
            placement = tracked.placement
            if width != placement.size[0]:
                placement = resize(placement, width)
            yield frame.pixels, replace(tracked, placement=placement)
        if next(tracked_crops, None) is not None:
            raise self._length_error("fewer")


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
