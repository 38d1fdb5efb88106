"""Masks for pasting the crops of a clip: the face, and what occludes it.

Pass 1 parses each frame, smooths the regions and unwraps the face texture; a few kB per frame stay
on disk. All of them give an appearance model of the face. Each frame is compared with it, and both
cues are refined at the edges of the image.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.errors import MediaError, NotFiniteError
from thcli.core.geometry import bounding_box, transform_points
from thcli.core.imaging import smoothstep, to_uint8
from thcli.core.protocols import Parser
from thcli.core.types import Array32, Crop, Face, Frame, Image
from thcli.faces.compositing.mask import hull_mask
from thcli.faces.compositing.occlusion import AppearanceModel, TextureSamples
from thcli.faces.compositing.occlusion_edges import refine_mask
from thcli.faces.compositing.uv_map import UV_SIDE, FaceTexture, UvMap
from thcli.faces.crops.align import resize
from thcli.faces.crops.crop import Pixels, crop
from thcli.faces.parsing.classes import FACE, ClassGroup
from thcli.faces.parsing.crops import Regions, crop_for_parser, parse_crops
from thcli.faces.parsing.temporal_smoothing import REACH, ParsedFrame, RegionSmoother
from thcli.motion.canonical import neutral
from thcli.pipeline.job.temp_storage import TemporaryFiles
from thcli.pipeline.observe.crop_track import TrackedCrop

MASK_SIDE = 192  # side of the crop in which masks are computed, in pixels
OCCLUSION_WEIGHT = 0.7  # of the difference from the appearance model, beside the parser
_OCCLUSION_GAIN = 2.5  # contrast of the refined occlusion probability
_OPEN = 0.5  # share of the feather over which the mask opens from the edge of the face
_JPEG_QUALITY = 92  # of the stored textures
_OUTLINE_SOFTNESS = 0.01  # of the hull of the mesh, over the side of the crop


@dataclass(frozen=True, slots=True)
class MaskEvidence:
    """Evidence for the masks of one frame.

    face: (MASK_SIDE, MASK_SIDE) probability of the parser, in the crop.
    occlusion: (UV_SIDE, UV_SIDE) probability of the appearance model, in texture coordinates.
    """

    face: Array32
    occlusion: Array32


@dataclass(frozen=True, slots=True)
class PasteMasks:
    """Masks of one crop, (h, w) in 0..1.

    region: soft mask of the pasted area.
    occlusion: objects in front of the face, which stay those of the frame.
    """

    region: Array32
    occlusion: Array32


class MaskLog(TemporaryFiles):
    """Pass-1 evidence for the masks of every frame, on disk. A context manager.

    Frames are added in order; then `finish` is called; then `evidence`, once.
    """

    def __init__(
        self,
        parser: Parser,
        feather: float,
        face_classes: ClassGroup = FACE,
        occlusion_weight: float = OCCLUSION_WEIGHT,
        on_regions: Callable[[Regions | None], None] | None = None,
        reach: int = REACH,
    ) -> None:
        """Open an empty log.

        Args:
            parser: segments the face.
            feather: width of the soft rim over the side of the crop.
            face_classes: regions that do not occlude the face.
            occlusion_weight: of the difference from the appearance model.
            on_regions: receives the smoothed regions of every frame, in order.
            reach: frames on both sides over which regions are smoothed.
        """
        super().__init__("masks")
        self._parser, self._feather, self._face_classes = parser, feather, face_classes
        self._occlusion_weight, self._on_regions = occlusion_weight, on_regions
        # Three sizes per frame, in bytes: face (PNG), texture (JPEG), visible cells (bits).
        self._sizes = array("I")
        self._smoother = RegionSmoother(reach)
        self._waiting = deque[tuple[Crop, FaceTexture] | None]()
        self._uv_map, self._samples = UvMap(neutral()), TextureSamples()
        self._appearance: AppearanceModel | None = None

    def add(
        self, frame: Frame, tracked_crop: TrackedCrop | None, parsed: ParsedFrame | None = None
    ) -> None:
        """Add the next frame.

        Args:
            frame: its pixels are read.
            tracked_crop: None, or one without an outline, where nothing is pasted.
            parsed: regions of the frame, None to parse it.

        Raises:
            MediaError: the crop track is of an older version.
            NotFiniteError: the parser failed; the frame is added as one where nothing is pasted.
        """
        if tracked_crop is None or tracked_crop.outline is None:
            self._append_nothing()
            return
        mesh = tracked_crop.mesh
        if mesh is None:
            raise MediaError(
                "The crop track is of an older version without meshes, which --mask parse needs.",
                "Make the crops again (thcli crop VIDEO), or use --mask face.",
            )
        image = to_uint8(frame.pixels)
        if parsed is None:
            face = Face(bounding_box(mesh), 1.0, mesh=mesh)
            parser_crop = crop_for_parser(self._parser, image, face)
            try:
                (regions,) = parse_crops(self._parser, [parser_crop])
            except NotFiniteError:
                self._append_nothing()
                raise
            parsed = ParsedFrame(regions, parser_crop.pixels, tracked_crop.scene)
        texture = self._uv_map.unwrap(image, mesh)
        self._samples.add(texture)
        placement = resize(tracked_crop.placement, MASK_SIDE)
        self._append(self._smoother.push(parsed), (placement, texture))

    def finish(self) -> None:
        """Fit the appearance model. Call once, after the last frame."""
        self._write(self._smoother.finish())
        self._appearance = self._samples.appearance_model()

    def evidence(self) -> Iterator[MaskEvidence | None]:
        """Yield the evidence of every frame, in order; None where nothing is pasted."""
        rows = self._rows()
        window: deque[MaskEvidence | None] = deque([None, next(rows, None)], maxlen=3)
        for _ in range(len(self._sizes) // 3):
            window.append(next(rows, None))
            before, now, after = window
            if now is None:
                yield None
                continue
            # An occluder that both neighbours show is there in between too. One that moves fast is
            # not taken from them.
            sides = [now.occlusion if side is None else side.occlusion for side in (before, after)]
            yield MaskEvidence(now.face, np.maximum(now.occlusion, np.minimum(*sides)))

    def masks(self, evidence: MaskEvidence, image: Pixels, tracked_crop: TrackedCrop) -> PasteMasks:
        """Compute the masks of a frame in the pixels of its crop.

        Args:
            evidence: of the frame.
            image: (H, W, 3) frame.
            tracked_crop: with outline and mesh.
        """
        mesh = tracked_crop.mesh
        assert mesh is not None and tracked_crop.outline is not None
        small = resize(tracked_crop.placement, MASK_SIDE)
        points = transform_points(small.crop_from_frame, mesh[:, :2].astype(np.float64))
        hull = hull_mask(points, small.size, _OUTLINE_SOFTNESS) > 0.5
        inside = np.maximum(evidence.face, np.asarray(hull, np.float32))
        by_parser = np.where(hull, 1 - evidence.face, 0)
        by_appearance = self._uv_map.project(evidence.occlusion, mesh, small)
        probability = np.clip(by_parser + self._occlusion_weight * by_appearance, 0, 1)
        refined = refine_mask(probability.astype(np.float32), crop(image, small), inside)
        # Steeper: a half-transparent hand would show as a ghost.
        occlusion = np.clip((refined - 0.5) * _OCCLUSION_GAIN + 0.5, 0, 1)
        region = _feather_inwards(inside, self._feather)
        placement = tracked_crop.placement
        return PasteMasks(_upscale(region, placement), _upscale(occlusion, placement))

    def _append_nothing(self) -> None:
        self._append(self._smoother.push(ParsedFrame(None, None, -1)), None)

    def _append(self, ready: list[Regions | None], new: tuple[Crop, FaceTexture] | None) -> None:
        self._waiting.append(new)
        self._write(ready)

    def _write(self, ready: list[Regions | None]) -> None:
        """Write the frames whose regions are smoothed."""
        for regions in ready:
            waiting = self._waiting.popleft()
            if self._on_regions is not None:
                self._on_regions(regions)
            if regions is None or waiting is None:
                self._sizes.extend((0, 0, 0))
                continue
            placement, texture = waiting
            mask = regions.mask_in(placement, self._face_classes)
            face = np.asarray(np.rint(255 * mask), np.uint8)
            quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            parts = [
                cv2.imencode(".png", face)[1].tobytes(),
                cv2.imencode(".jpg", texture.texture, quality)[1].tobytes(),
                np.packbits(texture.visible).tobytes(),
            ]
            self._file.write(b"".join(parts))
            self._sizes.extend(len(part) for part in parts)

    def _rows(self) -> Iterator[MaskEvidence | None]:
        """Read the evidence of each frame by itself."""
        position = 0
        for first in range(0, len(self._sizes), 3):
            sizes = self._sizes[first : first + 3]
            if not any(sizes):
                yield None
                continue
            self._file.seek(position)
            face, texture, visible = (self._file.read(size) for size in sizes)
            position += sum(sizes)
            occlusion = np.zeros((UV_SIDE, UV_SIDE), np.float32)
            if self._appearance is not None:
                bits = np.unpackbits(np.frombuffer(visible, np.uint8), count=UV_SIDE * UV_SIDE)
                flags = bits.reshape(UV_SIDE, UV_SIDE) > 0
                occlusion = self._appearance.occlusion_probability(
                    FaceTexture(_decode_image(texture), flags)
                )
            probability = np.asarray(_decode_image(face), np.float32) / np.float32(255)
            yield MaskEvidence(probability, occlusion)


def _decode_image(data: bytes) -> Image:
    encoded = np.frombuffer(data, np.uint8)
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED), np.uint8)


def _feather_inwards(inside: Array32, feather: float) -> Array32:
    """Return a mask that opens from the edge of the face inwards."""
    depth = cv2.distanceTransform(
        (inside > 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    width = max(_OPEN * feather * MASK_SIDE, 1.0)
    return np.asarray(smoothstep(0, width, depth), np.float32)


def _upscale(mask: Array32, placement: Crop) -> Array32:
    return np.asarray(cv2.resize(mask, placement.size, interpolation=cv2.INTER_LINEAR), np.float32)
