"""face vid2vid as an engine.

Motion kind "facevid2vid"; rows: angles (3,) yaw pitch roll in degrees, shift (3,), expression (15,
3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from thcli.core.options import MotionOptions, RenderOptions, RunOptions, ViewOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import Array32
from thcli.engines.facevid2vid import pose
from thcli.engines.facevid2vid.estimator import KEYPOINTS, HeadEstimator, KeypointDetector
from thcli.engines.facevid2vid.free_view import PosedDriving
from thcli.engines.facevid2vid.networks import (
    EncodedSource,
    Generator,
    OriginalGenerator,
    SpadeGenerator,
)
from thcli.engines.shared.motion_rows import (
    RetargetedMotion,
    Rows,
    SmoothedMotion,
    blend_rows,
    transfer_gains,
)
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.engines.shared.networks.checkpoint import width_divisor, without_spectral_norm
from thcli.engines.shared.networks.engine import CropSource, TorchCropEngine
from thcli.engines.shared.networks.keypoints import movement_scale, relative_points
from thcli.motion.control.poses import PoseCurve
from thcli.motion.file.kinds import row_shapes
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

CHECKPOINT_PARTS = ("kp_detector", "he_estimator", "generator")


class FaceVid2VidSource(NamedTuple):
    """An encoded source.

    features: of the generator.  canonical: (15, 3) keypoints.  keypoints: (1, 15, 3) posed
    keypoints. Arrays are on the host.
    """

    features: EncodedSource
    canonical: Array32
    keypoints: Array32


class FaceVid2VidNetworks(NamedTuple):
    """The three networks of a checkpoint. beta: it is the older one, whose axes differ."""

    detector: KeypointDetector
    estimator: HeadEstimator
    generator: Generator
    beta: bool = False


class FaceVid2VidEngine(TorchCropEngine):
    """Engine of face vid2vid.

    Relative: the 3-D keypoints take the change that the driver's pose and expression since the
    reference frame cause. Absolute: the driver's own pose and expression.

    view: degrees by which the driving head is turned further, and the file whose poses replace it.
    """

    motion_kind = "facevid2vid"

    def __init__(
        self, networks: FaceVid2VidNetworks, run: RunOptions, view: ViewOptions | None = None
    ) -> None:
        super().__init__(run, row_shapes("facevid2vid"))
        self.detector = self.prepare(networks.detector)
        self.estimator = self.prepare(networks.estimator)
        self.generator = self.prepare(networks.generator)
        self.beta = networks.beta
        view = view or ViewOptions()
        self.turn = np.array([view.yaw, view.pitch, view.roll], np.float32)
        self.poses = None if view.pose_file is None else PoseCurve.read(view.pose_file)

    def extract_motion(self, images: Tensor) -> dict[str, Tensor]:
        head = self.estimator(images)
        return {
            "angles": head.angles(),
            "shift": head.shift,
            "expression": head.expression.view(-1, KEYPOINTS, 3),
        }

    def encode(self, image: Tensor, rows: dict[str, Tensor]) -> FaceVid2VidSource:
        canonical = self.detector(image)
        own_rows = {name: row.cpu().numpy() for name, row in rows.items()}
        own = self.keypoints(canonical[0].cpu().numpy(), own_rows)
        encoded = self.generator.encode(image, torch.from_numpy(own).to(self.device))
        return FaceVid2VidSource(encoded, canonical[0].cpu().numpy(), own)

    def keypoints(self, canonical: Array32, rows: Rows) -> Array32:
        """Compute the source's keypoints (T, 15, 3) under rows of pose and expression."""
        return pose.keypoints(
            canonical, rows["angles"], rows["shift"], rows["expression"], beta=self.beta
        )

    def retarget(
        self, source: CropSource, motion: MotionStore, options: MotionOptions
    ) -> MotionStore:
        if self.poses is None:
            return super().retarget(source, motion, options)
        driving = PosedDriving(motion, options, self.poses, source.rows)
        transfer = self.make_transfer(source, driving, options)
        return RetargetedMotion(f"{self.motion_kind}-target", driving, transfer)

    def make_transfer(
        self, source: CropSource, driving: SmoothedMotion, options: MotionOptions
    ) -> Callable[[Rows], Rows]:
        head, face = transfer_gains(options, self.motion_kind, separable=True)
        encoded: FaceVid2VidSource = source.encoded
        relative = options.mode == "relative"
        base = source.rows
        if relative:
            base = driving.row(driving.best_frame(source.landmarks))
            if self.poses is not None:
                base |= {name: source.rows[name] for name in ("angles", "shift")}
        first = self.keypoints(encoded.canonical, base)
        scale = movement_scale(encoded.keypoints[0], first[0]) if relative else 1.0

        def transfer(rows: Rows) -> Rows:
            turned = {"angles": rows["angles"] + self.turn, "shift": rows["shift"]}
            posed = blend_rows({k: base[k] for k in turned}, turned, head)
            target = {"expression": rows["expression"]}
            expression = blend_rows({"expression": base["expression"]}, target, face)
            points = self.keypoints(encoded.canonical, posed | expression)
            if relative:
                points = relative_points(points, first, encoded.keypoints, scale)
            return {"keypoints": points}

        return transfer

    def synthesize(self, encoded: FaceVid2VidSource, rows: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.generator(encoded.features, rows["keypoints"])
        return out


def load(run: RunOptions, options: RenderOptions | None = None) -> FaceVid2VidEngine:
    """Load the SPADE generator, as it is usually shared.

    Raises:
        WeightsError: the weights are missing or another model's.
        MediaError: the pose file is not valid.
    """
    return load_weights("facevid2vid", run, options)


def load_new(run: RunOptions, options: RenderOptions | None = None) -> FaceVid2VidEngine:
    """Load the author's own vox-256-new."""
    return load_weights("facevid2vid-new", run, options)


def load_beta(run: RunOptions, options: RenderOptions | None = None) -> FaceVid2VidEngine:
    """Load the author's older checkpoint: original generator, other axes."""
    return load_weights("facevid2vid-beta", run, options)


def load_fadm(run: RunOptions, options: RenderOptions | None = None) -> FaceVid2VidEngine:
    """Load the checkpoint whose coarse frames FADM's refiner was trained on.

    FADM's demo drives it absolutely (--motion absolute).
    """
    return load_weights("fadm-facevid", run, options)


def load_weights(name: str, run: RunOptions, options: RenderOptions | None) -> FaceVid2VidEngine:
    """Load the engine with the weights of that name in weights.toml."""
    parts = [
        load_tensors(name, prefix=f"{part}.", offline=run.offline) for part in CHECKPOINT_PARTS
    ]
    return FaceVid2VidEngine(assemble(parts, name), run, None if options is None else options.view)


def assemble(parts: Sequence[Mapping[str, Tensor]], where: str) -> FaceVid2VidNetworks:
    """Build the networks of a checkpoint; its keys determine generator, version and width.

    Args:
        parts: tensors in the order of CHECKPOINT_PARTS.
        where: name of the weights, for messages.

    Raises:
        WeightsError: keys do not fit; they are named.
    """
    detector, estimator, generator = parts
    beta = "down.weight" not in detector
    spade = any(key.startswith("decoder.") for key in generator)
    plain = without_spectral_norm(generator, where)
    divisor = width_divisor(plain, "first.conv.weight", 64)
    detecting = KeypointDetector(reduced=not beta, width_divisor=divisor)
    generating = (SpadeGenerator if spade else OriginalGenerator)(width_divisor=divisor)
    return FaceVid2VidNetworks(
        load_state(detecting, detector, where),
        load_state(HeadEstimator(width_divisor=divisor), estimator, where),
        load_state(generating, plain, where),
        beta,
    )


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of one version of the networks."""
    parts = [checkpoint.tensors(f"{part}.") for part in CHECKPOINT_PARTS]
    assemble(parts, checkpoint.name)
