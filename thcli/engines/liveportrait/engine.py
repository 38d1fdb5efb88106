"""LivePortrait as an engine.

Motion kind "liveportrait"; rows: angles (3,) pitch yaw roll in degrees, shift (3,), scale (1,),
expression (21, 3), canonical (21, 3), and openings (3,) of left eye, right eye and lips (gap /
width; -1 where the face had no landmarks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from thcli.core.errors import NoFaceError
from thcli.core.options import (
    LivePortraitOptions,
    MotionOptions,
    RenderOptions,
    RunOptions,
    Template,
    ViewOptions,
)
from thcli.core.protocols import MotionStore
from thcli.core.types import Array32, Face, Frame, Image, Motion
from thcli.engines.liveportrait.mask import soft_mask
from thcli.engines.liveportrait.networks import EncodedSource, LivePortraitNetworks
from thcli.engines.liveportrait.observer import CANONICAL, KEYPOINTS, MotionOutput
from thcli.engines.liveportrait.ratios import OPENINGS, face_openings
from thcli.engines.liveportrait.retargeting import RetargetingNetworks
from thcli.engines.liveportrait.transfer import (
    HeadMotion,
    TransferGains,
    transfer_absolute,
    transfer_relative,
    transfer_relative_to_rest,
    turn_head,
)
from thcli.engines.liveportrait.video import VideoSourceMotion
from thcli.engines.shared.motion_rows import Rows, SmoothedMotion
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.engines.shared.networks.checkpoint import without_spectral_norm
from thcli.engines.shared.networks.engine import (
    CropSource,
    TorchCropEngine,
    images_from_tensor,
    landmarks_of,
    rows_to_host,
)
from thcli.motion.file.kinds import row_shapes
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

CROP = 512

# In the order of `LivePortraitNetworks`: entry of weights.toml, prefix of the file's keys.
FILES = (
    ("liveportrait-appearance", ""),
    ("liveportrait-motion", ""),
    ("liveportrait-warping", ""),
    ("liveportrait-spade", ""),
    ("liveportrait-stitching", "retarget_shoulder."),
    ("liveportrait-stitching", "retarget_mouth."),
    ("liveportrait-stitching", "retarget_eye."),
)


class LivePortraitEngine(TorchCropEngine):
    """Engine of LivePortrait.

    Relative: the change since the reference frame is added to the source's pose and expression.
    Absolute: the driver's own.

    Crops are those of `faces.crops.align.liveportrait`. The networks read them at 256 x 256 and
    render 512 x 512.
    view: degrees by which the driving head is turned further (the source's own head, when a single
    image drives).
    """

    motion_kind = "liveportrait"
    crop_size = CROP
    template: Template = "liveportrait"

    def __init__(
        self,
        networks: LivePortraitNetworks,
        run: RunOptions,
        options: LivePortraitOptions | None = None,
        view: ViewOptions | None = None,
    ) -> None:
        names = ("angles", "shift", "scale", "expression", CANONICAL)
        super().__init__(run, row_shapes(self.motion_kind, *names))
        self.appearance = self.prepare(networks.appearance)
        self.observer = self.prepare(networks.observer)
        self.warping, self.generator = (
            self.prepare(networks.warping),
            self.prepare(networks.generator),
        )
        self.retargeting = RetargetingNetworks(networks.stitching, networks.lips, networks.eyes)
        self.options, view = options or LivePortraitOptions(), view or ViewOptions()
        self.turn = np.array([view.pitch, view.yaw, view.roll], np.float32)

    @property
    def mask(self) -> Image:
        """Blend mask (512, 512) uint8 of a rendered crop, for `faces.compositing.paste`."""
        return soft_mask(CROP)

    def extract_motion(self, images: Tensor) -> dict[str, Tensor]:
        return _rows(self.observer(images))

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        motion = super().observe(frames, faces)
        openings = np.stack(
            [np.zeros(3, np.float32) if face is None else face_openings(face) for face in faces]
        )
        return replace(motion, arrays={**motion.arrays, OPENINGS: openings})

    def encode_source(self, image: Image, face: Face) -> CropSource:
        """Encode a source crop.

        Args:
            image: the (512, 512, 3) crop, or any other size.
            face: in the crop's pixels, for its landmarks.
        """
        with self.inference():
            pixels = self.tensor([image])
            rows = self.extract_motion(pixels)
            encoded = self.encode(pixels, rows)
        own = {**rows_to_host(rows), OPENINGS: face_openings(face)[None]}
        return CropSource(encoded, own, landmarks_of(face), (CROP, CROP))

    def encode(self, image: Tensor, rows: dict[str, Tensor]) -> EncodedSource:
        own = rows_to_host(rows)
        keypoints = HeadMotion.from_rows(own).keypoints(own[CANONICAL])
        volume = self.appearance.volume(image)
        return self.warping.encode(volume, torch.from_numpy(keypoints).to(self.device))

    def make_transfer(
        self, source: CropSource, driving: SmoothedMotion, options: MotionOptions
    ) -> Callable[[Rows], Rows]:
        """Return the function from the driver's rows to keypoints.

        Raises:
            NoFaceError: eyes or lips are retargeted and a face has no landmarks.
        """
        own, canonical = HeadMotion.from_rows(source.rows), source.rows[CANONICAL]
        own_points, own_openings = own.keypoints(canonical), source.rows[OPENINGS]
        gains = TransferGains(options.region, options.pose, options.expression)
        is_relative = options.mode == "relative"
        first = HeadMotion.from_rows(driving.row(driving.best_frame(source.landmarks)))
        self._check_openings(own_openings, driving)

        def transfer_head(rows: Rows) -> HeadMotion:
            if is_relative and len(driving) == 1:
                turned = turn_head(source.rows, self.turn)
                return transfer_relative_to_rest(turned, HeadMotion.from_rows(rows), gains)
            motion = turn_head(rows, self.turn)
            if is_relative:
                return transfer_relative(own, motion, first, gains)
            return transfer_absolute(own, motion, gains)

        def transfer(rows: Rows) -> Rows:
            moved = transfer_head(rows).keypoints(canonical)
            openings = (own_openings, rows[OPENINGS])
            out = self.retargeting.apply(
                own_points, moved, openings, self.options, relative=is_relative
            )
            return {"keypoints": own_points + np.float32(options.strength) * (out - own_points)}

        return transfer

    def synthesize(self, encoded: EncodedSource, rows: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.generator(self.warping(encoded, rows["keypoints"]))
        return out

    def transfer_motion(
        self, own: MotionStore, driving: MotionStore, options: MotionOptions
    ) -> VideoSourceMotion:
        """Transfer a driving motion to a clip as the source.

        Args:
            own: the clip's motion, each frame in a crop of its own.
            driving: the driver's motion.
            options: as in `retarget`.

        Raises:
            MediaError, NoFaceError: as in `retarget`, for both clips.
        """
        own_motion = SmoothedMotion(own, self.motion_kind, 0)
        smoothed = SmoothedMotion(driving, self.motion_kind, options.smooth, causal=options.causal)
        self._check_openings(own_motion.row(int(own_motion.seen[0]))[OPENINGS], smoothed)
        return VideoSourceMotion(
            own_motion, smoothed, self.retargeting, self.options, options, self.turn
        )

    def encode_video(self, own: MotionStore, frames: Iterable[Frame]) -> None:
        """Encode nothing: each crop of a source clip is encoded by itself."""

    def render_frames(self, source: None, images: Sequence[Image], motion: Motion) -> list[Image]:
        """Render crops of the source clip with the motion that `transfer_motion` gave for them.

        images: (512, 512, 3) or any other size.
        """
        out: list[Image] = []
        for start in range(0, len(images), self.batch):
            part = slice(start, start + self.batch)
            own, target = (
                torch.from_numpy(np.asarray(motion.arrays[name][part], np.float32)).to(self.device)
                for name in ("own", "keypoints")
            )
            with self.inference():
                volume = self.appearance.volume(self.tensor(images[part]))
                encoded = self.warping.encode(volume, own)
                out += images_from_tensor(self.synthesize(encoded, {"keypoints": target}))
        return out

    def _check_openings(self, own: Array32, driving: SmoothedMotion) -> None:
        needs_both = self.options.retarget_eyes or self.options.retarget_lips
        needs_own = self.options.close_lips or self.options.keep_eyes
        theirs = driving.row(int(driving.seen[0]))[OPENINGS]
        if (needs_both and min(own.min(), theirs.min()) < 0) or (needs_own and own.min() < 0):
            raise NoFaceError(
                "Eyes and lips cannot be retargeted: a face has no landmarks.",
                "Use another --landmarker.",
            )


def _rows(output: MotionOutput) -> dict[str, Tensor]:
    expression = output.expression.view(-1, KEYPOINTS, 3)
    canonical = output.canonical.view(-1, KEYPOINTS, 3)
    return {
        "angles": output.angles(),
        "shift": output.shift,
        "scale": output.scale,
        "expression": expression,
        CANONICAL: canonical,
    }


def load(run: RunOptions, options: RenderOptions | None = None) -> LivePortraitEngine:
    """Load the published networks.

    Raises:
        WeightsError: the weights are missing or another model's.
    """
    parts = [load_tensors(name, prefix=prefix, offline=run.offline) for name, prefix in FILES]
    options = options or RenderOptions()
    return LivePortraitEngine(assemble(parts), run, options.liveportrait, options.view)


def assemble(
    parts: Iterable[Mapping[str, Tensor]], *, width_divisor: int = 1
) -> LivePortraitNetworks:
    """Build the networks of the published states, in the order of FILES.

    Raises:
        WeightsError: keys do not fit; they are named.
    """
    networks = LivePortraitNetworks.new(width_divisor=width_divisor)
    return LivePortraitNetworks._make(
        load_state(network, _network_state(part, name), name)
        for network, part, (name, _) in zip(networks, parts, FILES, strict=True)
    )


def _network_state(part: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return a published state with our keys: without DataParallel's prefix and spectral norms."""
    plain = {key.replace("module.", ""): tensor for key, tensor in part.items()}
    return without_spectral_norm(plain, name)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a file has the layout of its networks, see FILES."""
    for network, (name, prefix) in zip(LivePortraitNetworks.new(), FILES, strict=True):
        if name == checkpoint.name:
            load_state(network, _network_state(checkpoint.tensors(prefix), name), name)
