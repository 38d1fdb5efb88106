"""Framing: adapts engines that render square crops to full images, and applies --framing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thcli.core.errors import UsageError
from thcli.core.options import MotionOptions, RenderOptions, TemplateOptions
from thcli.core.protocols import (
    CropEngine,
    CropView,
    EmbeddingEngine,
    Engine,
    MotionStore,
    Source,
)
from thcli.core.types import Array32, Crop, Face, Frame, Image, Motion
from thcli.faces.compositing.mask import rim_mask
from thcli.faces.compositing.paste import CHANGE_ONLY, paste
from thcli.faces.compositing.pixel_device import pixel_ops
from thcli.faces.compositing.pixel_ops import PixelOps
from thcli.faces.crops.crop import crop, transform_face
from thcli.pipeline.observe.crop_templates import crop_placement
from thcli.pipeline.sources.source_image import SourceImage

RIM = 0.06  # width of the soft rim of a pasted crop over its side


@dataclass(frozen=True, slots=True)
class SourceCrop:
    """The crop of a source image that a network sees.

    placement: of the crop in the image.
    image: the crop (crop_size, crop_size, 3) uint8.
    face: in pixels of the crop.
    """

    placement: Crop
    image: Image
    face: Face


@dataclass(frozen=True, slots=True)
class FullFrameSource:
    """A crop engine's source with the image that it was cropped from."""

    crop_source: Source
    image: Image
    placement: Crop

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, slots=True)
class FullFrameEngine:
    """A crop engine behind the interface of a full-frame engine.

    The crop is pasted into the source image; pixels outside of it do not change.
    """

    crop_engine: CropEngine
    ops: PixelOps

    @property
    def motion_kind(self) -> str:
        """See `Engine`."""
        return self.crop_engine.motion_kind

    @property
    def parallel(self) -> bool:
        """See `Engine`."""
        return self.crop_engine.parallel

    def encode_source(self, image: Image, face: Face) -> FullFrameSource:
        """Crop the face and encode the crop."""
        source = crop_source(self.crop_engine, image, face)
        encoded = self.crop_engine.encode_source(source.image, source.face)
        return FullFrameSource(encoded, image, source.placement)

    def encode_pictures(
        self, image: Image, face: Face, others: Sequence[tuple[Image, Face]]
    ) -> FullFrameSource:
        """Crop the face and further pictures of it, and encode the crops as one source."""
        source = crop_source(self.crop_engine, image, face)
        encoded = encode_crops(self.crop_engine, source.image, source.face, others)
        return FullFrameSource(encoded, image, source.placement)

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        """Extract the motion of driving crops."""
        return self.crop_engine.observe(frames, faces)

    def retarget(
        self, source: FullFrameSource, motion: MotionStore, options: MotionOptions
    ) -> MotionStore:
        """Transfer the driving motion to the source."""
        return self.crop_engine.retarget(source.crop_source, motion, options)

    def reads_driver(self, source: FullFrameSource, motion: MotionStore) -> bool:
        """See `Engine`."""
        return self.crop_engine.reads_driver(source.crop_source, motion)

    def render(
        self, source: FullFrameSource, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]:
        """Render crops and paste them into the source image."""
        mask = paste_mask(self.crop_engine)
        rendered = self.crop_engine.render(source.crop_source, motion, frames)
        pasted = (
            paste(source.image, image, source.placement, mask, options=CHANGE_ONLY, ops=self.ops)
            for image in rendered
        )
        return [np.asarray(image, np.uint8) for image in pasted]


def encode_crops(
    engine: Engine, image: Image, face: Face, others: Sequence[tuple[Image, Face]]
) -> Any:
    """Encode a source's crop and further pictures of its person as one source.

    Args:
        engine: embeds crops.
        image: crop (crop_size, crop_size, 3), and `face` in its pixels.
        others: images of any size, each with its face.

    Raises:
        UsageError: the engine takes one picture.
    """
    if not isinstance(engine, EmbeddingEngine):
        raise UsageError("This engine takes one picture as its source.", "Leave --also out.")
    crops = [crop_source(engine, *other) for other in others]
    images, faces = [one.image for one in crops], [one.face for one in crops]
    return engine.encode_sources([image, *images], [face, *faces])


def paste_mask(network: CropView) -> Array32:
    """Return the blend weight of a network's crops, (crop_size, crop_size) in 0..1."""
    size = (network.crop_size, network.crop_size)
    if network.mask is None:
        return np.asarray(rim_mask(size, RIM), np.float32)
    return np.asarray(network.mask / np.float32(255), np.float32)


def crop_source(network: CropView, image: Image, face: Face) -> SourceCrop:
    """Crop a face from an image (H, W, 3) uint8 as a network sees it."""
    template = TemplateOptions(template=network.template, size=network.crop_size)
    placement = crop_placement(face, template)
    return SourceCrop(
        placement,
        np.asarray(crop(image, placement), np.uint8),
        transform_face(face, placement.crop_from_frame),
    )


def apply_framing(
    engine: Engine, source: SourceImage, options: RenderOptions
) -> tuple[Engine, SourceImage]:
    """Apply --framing and --long-side to an engine and its source.

    full: the whole image, into which a crop engine's crop is pasted. crop: the crop that a crop
    engine renders, or a square around the faces in the resolution of the image.

    Raises UsageError for --long-side with the crop of a crop engine, which has one size.
    """
    full, long_side = options.framing == "full", options.mesh.long_side
    if isinstance(engine, CropEngine):
        if full:
            ops = pixel_ops(options.run.device)
            return FullFrameEngine(engine, ops), source.downscale(long_side)
        if long_side:
            raise UsageError(
                f"--long-side has no effect with --framing crop and the engine {options.engine}: "
                f"its crop has {engine.crop_size} pixels.",
                "Leave one of the two out.",
            )
        cropped = crop_source(engine, source.image, source.faces[0])
        return engine, replace(source, image=cropped.image, faces=(cropped.face,), others=())
    framed = source if full else source.crop_square()
    return engine, framed.downscale(long_side)
