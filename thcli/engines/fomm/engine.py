"""First-order model as an engine.

Motion kind "fomm"; rows: value (10, 2) and jacobian (10, 2, 2).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from thcli.core.options import RenderOptions, RunOptions
from thcli.engines.fomm.networks import Generator, KeypointDetector, Keypoints
from thcli.engines.shared.motion_rows import Rows
from thcli.engines.shared.networks.checkpoint import PARTS, load_keypoint_networks
from thcli.engines.shared.networks.keypoints import (
    movement_scale,
    relative_jacobians,
    relative_points,
)
from thcli.engines.shared.networks.relative import KeypointEngine, RowTransfer
from thcli.motion.file.kinds import row_shapes
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors


class FommEngine(KeypointEngine):
    """Engine of the first-order model.

    Relative: the change since the best reference frame, scaled to the source's face. Absolute: the
    driver's own keypoints.
    """

    motion_kind = "fomm"
    keypoint_type = Keypoints

    def __init__(self, detector: KeypointDetector, generator: Generator, run: RunOptions) -> None:
        super().__init__(detector, generator, run, row_shapes("fomm"))

    def relative_change(self, first: Rows, own: Rows) -> RowTransfer:
        scale = movement_scale(own["value"][0], first["value"][0])

        def change(rows: Rows) -> Rows:
            value = relative_points(rows["value"], first["value"], own["value"], scale)
            return {
                "value": value,
                "jacobian": relative_jacobians(
                    rows["jacobian"], first["jacobian"], own["jacobian"]
                ),
            }

        return change


def load(run: RunOptions, options: RenderOptions | None = None) -> FommEngine:
    """Load vox-adv-256, the checkpoint whose hash is known.

    Raises:
        WeightsError: the weights are missing or another model's.
    """
    return load_weights("fomm-vox-adv", run)


def load_vox(run: RunOptions, options: RenderOptions | None = None) -> FommEngine:
    """Load vox-256, the paper's checkpoint. Raises WeightsError as `load` does."""
    return load_weights("fomm-vox", run)


def load_weights(name: str, run: RunOptions) -> FommEngine:
    """Load the engine with the weights of that name in weights.toml."""
    parts = {part: load_tensors(name, prefix=f"{part}.", offline=run.offline) for part in PARTS}
    return FommEngine(*build_networks(parts, name), run)


def build_networks(
    parts: Mapping[str, Mapping[str, Tensor]], where: str
) -> tuple[KeypointDetector, Generator]:
    """Build the networks in the width of a checkpoint; see `load_keypoint_networks`."""
    return load_keypoint_networks((KeypointDetector, Generator), parts, "first.conv.weight", where)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the networks."""
    build_networks({part: checkpoint.tensors(f"{part}.") for part in PARTS}, checkpoint.name)
