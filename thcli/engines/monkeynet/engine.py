"""Monkey-Net as an engine: motion kind "monkeynet", rows mean (10, 2) and var (10, 2, 2)."""

from __future__ import annotations

import numpy as np

from thcli.core.options import RenderOptions, RunOptions
from thcli.engines.monkeynet.networks import KEYPOINTS, Generator, KeypointDetector, Keypoints
from thcli.engines.shared.motion_rows import Rows
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.engines.shared.networks.keypoints import relative_points
from thcli.engines.shared.networks.relative import Change, KeypointEngine
from thcli.weights.tensors import load_tensors


class MonkeyNetEngine(KeypointEngine):
    """Relative: the means move as the driver's since the reference frame, unscaled; variances are the driver's own (config vox)."""

    motion_kind = "monkeynet"
    kind = Keypoints

    def __init__(self, detector: KeypointDetector, generator: Generator, run: RunOptions) -> None:
        super().__init__(
            detector, generator, run, {"mean": (KEYPOINTS, 2), "var": (KEYPOINTS, 2, 2)}
        )

    def since(self, first: Rows, own: Rows) -> Change:
        def change(rows: Rows) -> Rows:
            mean = relative_points(rows["mean"], first["mean"], own["mean"])
            return {"mean": mean, "var": np.asarray(rows["var"], np.float32)}

        return change


def load(run: RunOptions, options: RenderOptions | None = None) -> MonkeyNetEngine:
    """Config vox. Raises WeightsError when the checkpoint is not here or of another configuration."""
    name = "monkeynet"
    parts = (
        load_tensors(name, prefix=f"{part}.", offline=run.offline)
        for part in ("kp_detector", "generator")
    )
    detector, generator = parts
    return MonkeyNetEngine(
        load_state(KeypointDetector(), detector, name),
        load_state(Generator(), generator, name),
        run,
    )
