"""Monkey-Net as an engine.

Motion kind "monkeynet"; rows: mean (10, 2) and var (10, 2, 2).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from thcli.core.options import RenderOptions, RunOptions
from thcli.engines.monkeynet.networks import Generator, KeypointDetector, Keypoints
from thcli.engines.shared.motion_rows import Rows
from thcli.engines.shared.networks.checkpoint import PARTS, load_keypoint_networks
from thcli.engines.shared.networks.keypoints import relative_points
from thcli.engines.shared.networks.relative import KeypointEngine, RowTransfer
from thcli.motion.file.kinds import row_shapes
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

_WIDTH_KEY = "dense_motion_module.hourglass.encoder.down_blocks.0.conv.weight"


class MonkeyNetEngine(KeypointEngine):
    """Engine of Monkey-Net.

    Relative: the means move by the driver's change since the reference frame, unscaled; the
    variances are the driver's own (config vox).
    """

    motion_kind = "monkeynet"
    keypoint_type = Keypoints

    def __init__(self, detector: KeypointDetector, generator: Generator, run: RunOptions) -> None:
        super().__init__(detector, generator, run, row_shapes("monkeynet"))

    def relative_change(self, first: Rows, own: Rows) -> RowTransfer:
        def change(rows: Rows) -> Rows:
            mean = relative_points(rows["mean"], first["mean"], own["mean"])
            return {"mean": mean, "var": np.asarray(rows["var"], np.float32)}

        return change


def load(run: RunOptions, options: RenderOptions | None = None) -> MonkeyNetEngine:
    """Load config vox.

    Raises:
        WeightsError: the checkpoint is missing or of another configuration.
    """
    name = "monkeynet"
    parts = {part: load_tensors(name, prefix=f"{part}.", offline=run.offline) for part in PARTS}
    return MonkeyNetEngine(*build_networks(parts, name), run)


def build_networks(
    parts: Mapping[str, Mapping[str, Tensor]], where: str
) -> tuple[KeypointDetector, Generator]:
    """Build the networks in the width of a checkpoint; see `load_keypoint_networks`."""
    return load_keypoint_networks((KeypointDetector, Generator), parts, _WIDTH_KEY, where)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the networks."""
    build_networks({part: checkpoint.tensors(f"{part}.") for part in PARTS}, checkpoint.name)
