"""Real3D-Portrait as an engine: a photograph to a 3-D talking portrait.

It reads motion of kind "mesh", from the driver's landmarks or a voice, and of kind "real3d", the
expressions of its own voice. The source is a square crop around the face, rendered at 512 x 512 and
pasted back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from thcli.core.options import MotionOptions, RenderOptions, RunOptions
from thcli.core.protocols import MotionStore, Parser
from thcli.core.types import Array32, Crop, Face, Frame, Image, Motion
from thcli.engines.real3d.config import Real3DConfig
from thcli.engines.real3d.driving.head_model import HeadModel
from thcli.engines.real3d.driving.target import (
    TargetMotion,
    source_keypoints,
    transfer_heads,
)
from thcli.engines.real3d.driving.track import VOICE_KIND, FacePlace, HeadState, read_track
from thcli.engines.real3d.model import (
    PREFIX,
    PreparedSource,
    RayNoise,
    Real3D,
    SourceImages,
    load_model,
)
from thcli.engines.real3d.pictures.background import replacement_background
from thcli.engines.real3d.pictures.blink import close_eyes
from thcli.engines.real3d.pictures.segments import one_hot
from thcli.engines.real3d.pictures.source import (
    SIDE,
    SourcePictures,
    crop_landmarks,
    place_source,
    prepare_pictures,
)
from thcli.engines.shared.networks.compute import TorchBackend
from thcli.engines.shared.networks.engine import images_from_tensor
from thcli.faces.backends import PARSERS
from thcli.faces.compositing import person_matte
from thcli.faces.compositing.mask import rim_mask
from thcli.faces.compositing.paste import CHANGE_ONLY, paste
from thcli.faces.compositing.person_matte import PersonMatte
from thcli.faces.compositing.pixel_device import pixel_ops
from thcli.faces.crops.align import resize
from thcli.faces.crops.crop import crop
from thcli.faces.model3d.bfm.model import load as load_bfm
from thcli.faces.model3d.bfm.raster import PnccRasteriser
from thcli.motion import observe
from thcli.weights import check_licence, locate
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

WEIGHTS = "real3d-video"
RIM = 0.06  # width of the soft rim of the pasted crop over its side
CONFIG = "secc2plane_torso_orig/config.yaml"
CHECKPOINT = "secc2plane_torso_orig/model_ckpt_steps_100000.ckpt"
_SEED_MASK = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Real3dSource:
    """An encoded source.

    prepared: planes, torso and background of the networks.  rasteriser: draws PNCC images.
    canonical: (1, 3, S, S) PNCC of the neutral face.  identity: (80,).  head: expression and pose.
    place: of the face in the crop.  image: (H, W, 3) uint8, into which the crop is pasted.
    placement: of the rendered crop.
    """

    prepared: PreparedSource
    rasteriser: PnccRasteriser
    canonical: Tensor
    identity: Array32
    head: HeadState
    place: FacePlace
    image: Image
    placement: Crop

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, slots=True)
class Real3dParts:
    """Networks and models of the engine.

    model: networks of Real3D-Portrait.  head: 3-D face model.  parser, matte: segment the source.
    """

    model: Real3D
    head: HeadModel
    parser: Parser
    matte: PersonMatte


class Real3dEngine(TorchBackend):
    """Engine protocol over Real3D-Portrait. Stateless between calls.

    Random numbers of the renderer depend on the seed and the frame's number alone.
    """

    motion_kind = observe.KIND
    motion_kinds = frozenset({observe.KIND, VOICE_KIND})
    parallel = False  # torch has threads of its own

    def __init__(
        self, parts: Real3dParts, run: RunOptions, options: RenderOptions | None = None
    ) -> None:
        super().__init__(run)
        self.model = self.prepare(parts.model)
        self.head, self.parser, self.matte = parts.head, parts.parser, parts.matte
        self.options, self.seed = options or RenderOptions(), run.seed
        self.threads = run.workers
        self.view = self.options.view
        self.threshold = self.options.real3d.head_threshold  # None: the checkpoint's

    @property
    def side(self) -> int:
        """Side of a rendered crop in pixels."""
        return self.model.config.image_size

    def encode_source(self, image: Image, face: Face) -> Real3dSource:
        """Prepare a source image (H, W, 3) uint8 and encode it.

        Raises:
            MediaError: the picture of --background cannot be read.
            NoFaceError: the face has no mesh, or is hidden.
        """
        placement = place_source(face, (image.shape[1], image.shape[0]))
        pictures = prepare_pictures(image, face, placement, self.parser, self.matte)
        background = replacement_background(self.options, (image.shape[1], image.shape[0]))
        if background is not None:
            behind = np.asarray(crop(background, placement), np.uint8)
        else:
            behind = pictures.background
        landmarks = crop_landmarks(face, placement)
        identity, head = self.head.fit_source(landmarks)
        with self.inference():
            prepared = self.model.prepare_source(self._inputs(pictures, behind, identity, head))
        rasteriser = PnccRasteriser(self.head.model, identity, self.side, self.threads)
        canonical = self._pncc(rasteriser, np.zeros_like(head.expression)[None])
        place = FacePlace.of(np.asarray(landmarks, np.float64))
        rendered = resize(placement, self.side)
        return Real3dSource(prepared, rasteriser, canonical, identity, head, place, image, rendered)

    def _inputs(
        self, pictures: SourcePictures, background: Image, identity: Array32, head: HeadState
    ) -> SourceImages:
        """Return the networks' inputs of a source."""
        segments = cv2.resize(
            pictures.segments, (self.side, self.side), interpolation=cv2.INTER_NEAREST
        )
        keypoints = source_keypoints(self.head.model, identity, head[None])
        return SourceImages(
            self._tensor(pictures.head),
            self._tensor(pictures.torso),
            self._tensor(background),
            torch.from_numpy(one_hot(np.asarray(segments, np.uint8)))[None].to(self.device),
            self._keypoints(keypoints),
        )

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        """Extract the motion of driving frames: their landmarks, as the mesh engine does."""
        return observe.observe(frames, faces)

    def retarget(
        self, source: Real3dSource, motion: MotionStore, options: MotionOptions
    ) -> TargetMotion:
        """Fit the driving clip and transfer its heads to the source.

        Raises:
            MediaError: the motion is of another kind, or the pose file is not valid.
            NoFaceError: no frame shows a face.
            UsageError: a region that the engine cannot move alone.
        """
        track = read_track(motion, options, source.head, source.place, self.head)
        return transfer_heads(
            self.head.model, source.identity, source.head, track, options, self.view
        )

    def reads_driver(self, source: Real3dSource, motion: MotionStore) -> bool:
        """See `Engine`: motion is all of the driver."""
        return False

    def render(
        self, source: Real3dSource, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]:
        """Render a window of the motion that `retarget` gave.

        Returns:
            Images (H, W, 3) uint8 of the source's size.
        """
        out: list[Image] = []
        expression = np.asarray(motion.constants["source_expression"], np.float32)
        reference = self._pncc(source.rasteriser, expression[None])
        with self.inference():
            for start in range(0, len(motion), self.batch):
                part = motion[slice(start, start + self.batch)]
                out += images_from_tensor((self._render(source, reference, part) + 1) / 2)
        ops = pixel_ops(str(self.device))
        mask = np.asarray(rim_mask((self.side, self.side), RIM), np.float32)
        return [
            np.asarray(
                paste(source.image, image, source.placement, mask, options=CHANGE_ONLY, ops=ops),
                np.uint8,
            )
            for image in out
        ]

    def _render(self, source: Real3dSource, reference: Tensor, motion: Motion) -> Tensor:
        """Render a batch of frames, (B, 3, S, S) in [-1, 1]."""
        arrays = motion.arrays
        expression = np.asarray(arrays["expression"], np.float32)
        blink = np.asarray(arrays["blink"], np.float32)
        count = len(motion)
        target = self._pncc(source.rasteriser, expression, blink)
        residual = self.model.residual_planes(
            source.canonical.expand(count, -1, -1, -1), reference.expand(count, -1, -1, -1), target
        )
        cameras = torch.from_numpy(np.asarray(arrays["camera"], np.float32)).to(self.device)
        rendered = []
        # In float32, and frame by frame: rays that miss the scene depend on the others' limits.
        with torch.autocast(self.device.type, enabled=False):
            for number, frame in enumerate(np.asarray(arrays["frame"], np.int64)):
                planes = source.prepared.planes.float() + residual[number : number + 1].float()
                noise = self._noise(int(frame))
                camera = cameras[number : number + 1]
                rendered.append(self.model.render(planes, camera, noise.depth, noise.importance))
        heads = type(rendered[0])(*(torch.cat(parts) for parts in zip(*rendered, strict=True)))
        keypoints = self._keypoints(np.asarray(arrays["keypoints"], np.float32))
        return self.model.compose_prepared(
            heads, source.prepared.surroundings, keypoints, self.threshold
        )

    def _noise(self, frame: int) -> RayNoise:
        """Draw the random numbers of a frame's rays."""
        state = np.random.SeedSequence([self.seed, frame]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(state) & _SEED_MASK)
        noise = self.model.ray_noise(generator)
        return RayNoise(*(numbers.to(self.device) for numbers in noise))

    def _pncc(
        self, rasteriser: PnccRasteriser, expression: Array32, blink: Array32 | None = None
    ) -> Tensor:
        """Draw PNCC images (B, 3, S, S) of expressions (B, 64), with closed eyes (B,) 0..1."""
        images = rasteriser.draw(expression)
        for image, closed in zip(images, () if blink is None else blink, strict=False):
            image[:] = close_eyes(image, float(closed))
        return torch.from_numpy(images).to(self.device)

    def _keypoints(self, keypoints: Array32) -> Tensor:
        """Return keypoints (B, 68, 2) with a third coordinate of 0."""
        flat = np.concatenate([keypoints, np.zeros_like(keypoints[..., :1])], -1)
        return torch.from_numpy(flat).to(self.device)

    def _tensor(self, image: Image) -> Tensor:
        """Convert a picture (512, 512, 3) uint8 to (1, 3, S, S) float32 in [-1, 1]."""
        if self.side != SIDE:
            image = np.asarray(
                cv2.resize(image, (self.side, self.side), interpolation=cv2.INTER_AREA), np.uint8
            )
        scaled = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).float()
        return (scaled / 127.5 - 1).permute(2, 0, 1)[None].contiguous()


def load(run: RunOptions, options: RenderOptions | None = None) -> Real3dEngine:
    """Load the published networks, the 3-D face model and the networks that segment the source.

    Raises:
        WeightsError: weights are missing, are of another model, or --licence excludes them.
    """
    check_licence(WEIGHTS, run.licence)
    folder = locate(WEIGHTS, offline=run.offline)
    head = HeadModel(load_bfm(run))
    parser = PARSERS.backend(PARSERS.resolve("auto", run)).load(run)
    config = Real3DConfig.from_yaml((folder / CONFIG).read_text("utf-8"), f"{WEIGHTS}: {CONFIG}")
    tensors = load_tensors(WEIGHTS, prefix=PREFIX, member=CHECKPOINT, offline=run.offline)
    model = load_model(tensors, config, WEIGHTS)
    return Real3dEngine(Real3dParts(model, head, parser, person_matte.load(run)), run, options)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the networks."""
    config = Real3DConfig.from_yaml(checkpoint.files[CONFIG].read_text("utf-8"), CONFIG)
    load_model(checkpoint.tensors(PREFIX, CHECKPOINT), config, checkpoint.name)
