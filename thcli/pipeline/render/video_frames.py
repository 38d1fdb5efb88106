"""Renderers of the frames of a source video, by crops or whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from thcli.core.imaging import to_uint8
from thcli.core.protocols import CropEngine, VideoSourceEngine
from thcli.core.types import Array32, Crop, Frame, Image, Motion
from thcli.faces.compositing.paste import CHANGE_ONLY, paste
from thcli.faces.compositing.pixel_ops import PixelOps
from thcli.faces.crops.crop import crop
from thcli.pipeline.job.replayable_frames import RenderedFrame
from thcli.pipeline.observe.crop_track import CropTrack
from thcli.pipeline.render.frames import Renderer
from thcli.pipeline.sources.framing import paste_mask
from thcli.pipeline.sources.pixel_shape import PixelShape


class VideoRenderer(Renderer, Protocol):
    """A renderer of frames of a source video."""

    def original_pixels(self, source: Any, frame: Frame) -> Any: ...


class FrameRenderer(Protocol):
    """The part of an engine of source videos that pass 2 uses."""

    @property
    def parallel(self) -> bool: ...
    def render_frames(
        self, source: Any, images: Sequence[Image], motion: Motion
    ) -> list[Image]: ...


@runtime_checkable
class CropVideoEngine(CropEngine, VideoSourceEngine, Protocol):
    """An engine that renders crops of a source video."""


@dataclass(frozen=True, slots=True)
class CropFrameRenderer:
    """A renderer of the crops of a source video.

    engine: renders crops.
    encoded: the video as the engine encodes it.
    pixels: sizes of its frames; crops are placed in those that are shown.
    full_frame: the crops are pasted into their frames.
    keep_depth: frames keep more than 8 bits per channel.
    ops: of the device that pastes.
    """

    engine: CropVideoEngine
    encoded: Any
    pixels: PixelShape
    full_frame: bool
    keep_depth: bool
    ops: PixelOps

    @property
    def parallel(self) -> bool:
        """See `Engine`."""
        return self.engine.parallel

    def render(self, source: Any, motion: Motion, frames: Sequence[Frame] | None) -> list[Image]:
        """Render a window of frames.

        Args:
            source: placement of the crops.
            motion: T rows; frames whose row is not valid are not rendered.
            frames: T frames of the source video.

        Returns:
            T images.
        """
        given = list(frames or ())
        window = source.window(given[0].index, given[-1].index + 1)
        placements = [tracked_crop.placement for tracked_crop in window]
        shown = [self.pixels.show(frame.pixels) for frame in given]
        crops = [
            np.asarray(crop(image, placement), np.uint8)
            for image, placement in zip(shown, placements, strict=True)
        ]
        seen = np.flatnonzero(motion.valid)
        images = [self.original_pixels(source, frame) for frame in given]
        rendered = self.engine.render_frames(self.encoded, [crops[i] for i in seen], motion[seen])
        mask = paste_mask(self.engine)
        for i, image in zip(seen, rendered, strict=True):
            if self.full_frame:
                images[i] = self._paste(images[i], shown[i], image, placements[i], mask)
            else:
                images[i] = image
        return images

    def original_pixels(self, source: Any, frame: Frame) -> Any:
        """Return the output for a frame in which nothing is rendered."""
        if self.full_frame:
            return frame.pixels if self.keep_depth else to_uint8(frame.pixels)
        (tracked_crop,) = source.window(frame.index, frame.index + 1)
        return crop(self.pixels.show(frame.pixels), tracked_crop.placement)

    def _paste(
        self, pixels: Any, shown: Image, image: Image, placement: Crop, mask: Array32
    ) -> Any:
        """Paste a rendered crop into a stored frame, whose shown one is given, too."""
        anamorphic = self.pixels.stored != self.pixels.shown
        below = shown if anamorphic else pixels
        pasted = paste(below, image, placement, mask, options=CHANGE_ONLY, ops=self.ops)
        return self.pixels.add_change(pixels, shown, pasted) if anamorphic else pasted


@dataclass(frozen=True, slots=True)
class WholeFrameRenderer:
    """A renderer of whole frames of a source video.

    engine: renders frames.
    encoded: the video as the engine encodes it.
    pixels: sizes of its frames; they are rendered as they are shown.
    keep_depth: frames keep more than 8 bits per channel.
    """

    engine: FrameRenderer
    encoded: Any
    pixels: PixelShape
    keep_depth: bool

    @property
    def parallel(self) -> bool:
        """See `Engine`."""
        return self.engine.parallel

    def render(self, source: Any, motion: Motion, frames: Sequence[Frame] | None) -> list[Image]:
        """Render a window of frames.

        Args:
            source: not used.
            motion: T rows; frames whose row is not valid are not rendered.
            frames: T frames of the source video.

        Returns:
            T images.
        """
        given = list(frames or ())
        images = [self.original_pixels(source, frame) for frame in given]
        seen = np.flatnonzero(motion.valid)
        before = [self.pixels.show(given[i].pixels) for i in seen]
        rendered = self.engine.render_frames(self.encoded, before, motion[seen])
        for i, old, new in zip(seen, before, rendered, strict=True):
            images[i] = self.pixels.add_change(images[i], old, new)
        return images

    def original_pixels(self, source: Any, frame: Frame) -> Any:
        """Return the output for a frame in which nothing is rendered."""
        return frame.pixels if self.keep_depth else to_uint8(frame.pixels)


def kept_where_failed(
    frames: Iterable[RenderedFrame], renderer: VideoRenderer, source: CropTrack | None
) -> Iterator[RenderedFrame]:
    """Yield rendered frames, with the video's own pixels for those that failed."""
    for frame in frames:
        if frame.succeeded or frame.driving is None:
            yield frame
        else:
            yield replace(frame, image=renderer.original_pixels(source, frame.driving))
