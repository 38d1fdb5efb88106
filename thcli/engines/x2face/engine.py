"""X2Face as an engine.

Motion kind "x2face"; rows: code (128,), the driving code. It also reads head poses (kind "pose",
rows: angles) and the changes of the code by sound (kind "x2face_audio", rows: change).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from thcli.core.errors import MediaError, WeightsError
from thcli.core.options import MotionOptions, RenderOptions, RunOptions, X2FaceOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import Array32, Face, Image
from thcli.engines.shared.motion_rows import (
    RetargetedMotion,
    Rows,
    SmoothedMotion,
    transfer_gains,
)
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.engines.shared.networks.checkpoint import width_divisor
from thcli.engines.shared.networks.engine import (
    CropSource,
    images_from_tensor,
    landmarks_of,
    rows_to_host,
)
from thcli.engines.shared.networks.keypoints import relative_points
from thcli.engines.shared.networks.relative import RelativeEngine, RowTransfer
from thcli.engines.x2face.networks import WIDTHS, PoseMap, X2Face
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

MEMBER = "x2face_model_forpython3.pth"
POSE_MEMBERS = {"posereg.pth": "", "posetobottle.pth": "bottlefrompose."}  # member -> key prefix
KIND, POSES, SPEECH = "x2face", "pose", "x2face_audio"
_WIDTH_KEY = "pix2pixSampler.netG.model.down.0.weight"


class EncodedSource(NamedTuple):
    """Encoded source.

    mosaic: (1, 3, 256, 256), the source laid out as a frontal face.
    """

    mosaic: Tensor


class X2FaceEngine(RelativeEngine):
    """Engine of X2Face.

    Absolute, as published: the driver's code unchanged. Relative: the source's own code plus the
    change of the driver's since the reference frame, as in the paper's audio-driven variant.
    """

    motion_kind = KIND
    motion_kinds = frozenset({KIND, POSES, SPEECH})

    def __init__(
        self,
        model: X2Face,
        run: RunOptions,
        options: X2FaceOptions | None = None,
        load_poses: Callable[[], PoseMap] | None = None,
    ) -> None:
        """Prepare the networks.

        Args:
            model: networks.
            run: device and precision.
            options: pose of the head.
            load_poses: loads the maps between codes and poses when they are needed first; None:
                those of the installed weights.
        """
        super().__init__(run, {"code": (model.code_size,)})
        self.model = self.prepare(model)
        self.pose_code = None if options is None else options.angles
        self._load_poses = load_poses or partial(load_pose_map, model.code_size, run)

    @cached_property
    def poses(self) -> PoseMap:
        """Maps between codes and poses, on the CPU.

        Raises:
            WeightsError: the weights have none.
        """
        return self._load_poses().eval().requires_grad_(False)

    def encode_source(self, image: Image, face: Face) -> CropSource:
        """Encode a source crop; see `encode_sources`."""
        return self.encode_sources([image], [face])

    def encode_sources(self, images: Sequence[Image], faces: Sequence[Face]) -> CropSource:
        """Encode several pictures of one person as one source.

        The mosaic is the mean of all, weighted by the network's confidence. The driving code at
        rest and the landmarks are those of the first.

        Args:
            images: (256, 256, 3) crops, one or more.
            faces: one per crop, in its pixels.

        Raises:
            NotFiniteError: a code is NaN or infinite.
        """
        with self.inference():
            pixels = self.tensor(images)
            rows = self.extract_motion(pixels[:1])
            encoded = self.encode(pixels, rows)
        return CropSource(encoded, rows_to_host(rows), landmarks_of(faces[0]))

    def render_frontal(self, source: CropSource) -> Image:
        """Return the embedded face of a source, (256, 256, 3) uint8: the mosaic."""
        encoded: EncodedSource = source.encoded
        return images_from_tensor(encoded.mosaic)[0]

    def extract_motion(self, images: Tensor) -> dict[str, Tensor]:
        return {"code": self.model.code(images)}

    def encode(self, image: Tensor, rows: dict[str, Tensor]) -> EncodedSource:
        return EncodedSource(self.model.mosaic(image))

    def retarget(
        self, source: CropSource, motion: MotionStore, options: MotionOptions
    ) -> MotionStore:
        """Transfer a driving motion, head poses or the codes of a sound to a source.

        Raises:
            MediaError: the motion is another engine's.
            NoFaceError: the motion shows no face.
            UsageError: the engine cannot follow the options.
            WeightsError: the motion or --pose-code needs maps of poses that the weights lack.
        """
        if motion.kind not in (POSES, SPEECH):
            self._check_size(motion, "code")
            return super().retarget(source, motion, options)
        if motion.kind == SPEECH:
            self._check_size(motion, "change")
        driving = SmoothedMotion(motion, motion.kind, options.smooth, causal=options.causal)
        share, _ = transfer_gains(options, KIND, separable=False)
        own = source.rows["code"]
        if motion.kind == POSES:
            transfer = self._follow_poses(own, driving, options, share)
        else:
            transfer = self._follow_sound(own, share)
        return RetargetedMotion(f"{KIND}-target", driving, self._posed(transfer))

    def _check_size(self, motion: MotionStore, name: str) -> None:
        """Raise MediaError unless the codes of a motion have the size of the network's."""
        codes = motion.window(0, 1).arrays.get(name)
        if codes is not None and codes.shape[1:] != (self.model.code_size,):
            raise MediaError(
                f"The motion has codes of {codes.shape[-1]} numbers, but the weights of x2face "
                f"make {self.model.code_size}.",
                "It was made with other weights. Make it again, or drive with the video.",
            )

    def make_transfer(
        self, source: CropSource, driving: SmoothedMotion, options: MotionOptions
    ) -> RowTransfer:
        return self._posed(super().make_transfer(source, driving, options))

    def relative_change(self, first: Rows, own: Rows) -> RowTransfer:
        return lambda rows: {"code": relative_points(rows["code"], first["code"], own["code"])}

    def synthesize(self, encoded: EncodedSource, rows: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.model(encoded.mosaic, rows["code"])
        return out

    def _posed(self, transfer: RowTransfer) -> RowTransfer:
        """Move the codes of a transfer to --pose-code, where it is given."""
        if self.pose_code is None:
            return transfer
        poses, wanted = self.poses, pose_radians(np.array([self.pose_code]))
        return lambda rows: {"code": _compute(poses.move, transfer(rows)["code"], wanted)}

    def _follow_poses(
        self, own: Array32, driving: SmoothedMotion, options: MotionOptions, share: float
    ) -> RowTransfer:
        """Return the transfer from angles (T, 3) to codes: own + Q(pose) - Q(P(own))."""
        poses, own_pose = self.poses, _compute(self.poses.pose, own)
        rest = own_pose
        if options.mode == "relative":
            rest = pose_radians(driving.row(int(driving.seen[0]))["angles"])

        def transfer(rows: Rows) -> Rows:
            pose = own_pose + np.float32(share) * (pose_radians(rows["angles"]) - rest)
            return {"code": _compute(poses.move, np.repeat(own, len(pose), 0), pose)}

        return transfer

    def _follow_sound(self, own: Array32, share: float) -> RowTransfer:
        """Return the transfer from changes (T, 128) to codes that keep the source's pose.

        n = own + change; code = n + Q(P(own)) - Q(P(n)), own rectified.
        """
        poses, rectified = self.poses, np.maximum(own, 0)
        own_pose = _compute(poses.pose, rectified)

        def transfer(rows: Rows) -> Rows:
            code = rectified + np.float32(share) * rows["change"]
            return {"code": _compute(poses.move, code, own_pose)}

        return transfer


def pose_radians(degrees: Array32) -> Array32:
    """Return roll, pitch, yaw (T, 3) in radians of pitch, yaw, roll in degrees.

    The order is that of the published notebook. The signs are those of `thcli fit`; the published
    ones are not documented.
    """
    return np.asarray(np.radians(degrees)[:, [2, 0, 1]], np.float32)


def _compute(function: Callable[..., Tensor], *arrays: Array32) -> Array32:
    """Call a function of tensors with arrays, on the CPU."""
    with torch.inference_mode():
        out: Array32 = function(*(torch.from_numpy(array) for array in arrays)).numpy()
    return out


def load(run: RunOptions, options: RenderOptions | None = None) -> X2FaceEngine:
    """Load the released model, or one of any width that `thcli train x2face` made.

    Raises:
        WeightsError: the weights are missing or another model's.
    """
    model = build_model(load_tensors("x2face", member=MEMBER, offline=run.offline), "x2face")
    return X2FaceEngine(model, run, None if options is None else options.x2face)


def build_model(tensors: dict[str, Tensor], where: str) -> X2Face:
    """Build the networks in the width of a checkpoint and load it.

    Raises:
        WeightsError: the tensors are another model's.
    """
    divisor = width_divisor(tensors, _WIDTH_KEY, WIDTHS[0])
    return load_state(X2Face(width_divisor=divisor), tensors, where)


def load_pose_map(code: int, run: RunOptions) -> PoseMap:
    """Load the maps between codes of a size and poses.

    Raises:
        WeightsError: the weights are missing, other than expected, or not trained.
    """
    state: dict[str, Tensor] = {}
    for member, prefix in POSE_MEMBERS.items():
        tensors = load_tensors("x2face", member=member, offline=run.offline)
        state |= {f"{prefix}{key}": value for key, value in tensors.items()}
    poses = load_state(PoseMap(code), state, "x2face")
    if not poses.posefrombottle.weight.any():
        raise WeightsError(
            "These weights of x2face have no maps between codes and poses.",
            "Train them: thcli train x2face-pose DATASET --start RUN/x2face.safetensors -o RUN2",
        )
    return poses


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network."""
    build_model(checkpoint.tensors(member=MEMBER), checkpoint.name)
