"""Monkey-Net as an engine: motion kind "monkeynet", rows mean (10, 2) and var (10, 2, 2)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from thcli.core.options import MotionOptions, ReenactOptions, RunOptions
from thcli.engines.blocks.checkpoint import load as load_state
from thcli.engines.blocks.clip import Clip, Rows, blended, gains
from thcli.engines.blocks.engine import CropEngine, CropSource
from thcli.engines.blocks.keypoints import relative_points
from thcli.engines.monkeynet.networks import KEYPOINTS, Encoded, Generator, KeypointDetector, Keypoints
from thcli.weights.tensors import load_tensors


class MonkeyNetEngine(CropEngine):
    """Relative: the means move as the driver's since the reference frame, unscaled; variances are the driver's own (config vox)."""

    motion_kind = "monkeynet"

    def __init__(self, detector: KeypointDetector, generator: Generator, run: RunOptions) -> None:
        super().__init__(run, {"mean": (KEYPOINTS, 2), "var": (KEYPOINTS, 2, 2)})
        self.detector, self.generator = self.ready(detector), self.ready(generator)

    def look(self, pictures: Tensor) -> dict[str, Tensor]:
        return self.detector(pictures)._asdict()  # type: ignore[no-any-return]  # torch's modules return Any

    def encode(self, picture: Tensor, rows: dict[str, Tensor]) -> Encoded:
        return self.generator.encode(picture, Keypoints(**rows))

    def carrier(self, source: CropSource, clip: Clip, options: MotionOptions) -> Callable[[Rows], Rows]:
        share, _ = gains(options, self.motion_kind, parted=False)
        own = source.rows
        if options.mode == "absolute":
            return lambda rows: blended(own, rows, share)
        first = clip.row(clip.best_frame(source.landmarks))

        def carry(rows: Rows) -> Rows:
            mean = relative_points(rows["mean"], first["mean"], own["mean"])
            return blended(own, {"mean": mean, "var": np.asarray(rows["var"], np.float32)}, share)

        return carry

    def paint(self, encoded: Encoded, rows: dict[str, Tensor]) -> Tensor:
        return self.generator(encoded, Keypoints(**rows))  # type: ignore[no-any-return]  # torch's modules return Any


def load(run: RunOptions, options: ReenactOptions | None = None) -> MonkeyNetEngine:
    """Config vox. Raises WeightsError when the checkpoint is not here or of another configuration."""
    name = "monkeynet"
    parts = (load_tensors(name, prefix=f"{part}.", offline=run.offline) for part in ("kp_detector", "generator"))
    detector, generator = parts
    return MonkeyNetEngine(
        load_state(KeypointDetector(), detector, name), load_state(Generator(), generator, name), run
    )
