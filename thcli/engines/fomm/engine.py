"""The first-order model as an engine: motion kind "fomm", rows value (10, 2) and jacobian (10, 2, 2)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from thcli.core.options import MotionOptions, ReenactOptions, RunOptions
from thcli.engines.blocks.checkpoint import load as load_state
from thcli.engines.blocks.clip import Clip, Rows, blended, gains
from thcli.engines.blocks.engine import CropEngine, CropSource
from thcli.engines.blocks.keypoints import movement_scale, relative_jacobians, relative_points
from thcli.engines.fomm.networks import KEYPOINTS, Encoded, Generator, KeypointDetector, Keypoints
from thcli.weights.tensors import load_tensors


class FommEngine(CropEngine):
    """Relative: what moved since the best reference frame, scaled to the source's face. Absolute: the driver's own keypoints."""

    motion_kind = "fomm"

    def __init__(self, detector: KeypointDetector, generator: Generator, run: RunOptions) -> None:
        super().__init__(run, {"value": (KEYPOINTS, 2), "jacobian": (KEYPOINTS, 2, 2)})
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
        scale = movement_scale(own["value"][0], first["value"][0])

        def carry(rows: Rows) -> Rows:
            value = relative_points(rows["value"], first["value"], own["value"], scale)
            jacobian = relative_jacobians(rows["jacobian"], first["jacobian"], own["jacobian"])
            return blended(own, {"value": value, "jacobian": jacobian}, share)

        return carry

    def paint(self, encoded: Encoded, rows: dict[str, Tensor]) -> Tensor:
        return self.generator(encoded, Keypoints(**rows))  # type: ignore[no-any-return]  # torch's modules return Any


def load(run: RunOptions, options: ReenactOptions | None = None) -> FommEngine:
    """vox-adv-256, the checkpoint whose hash is known. Raises WeightsError when it is not here or is another model's."""
    return load_weights("fomm-vox-adv", run)


def load_vox(run: RunOptions, options: ReenactOptions | None = None) -> FommEngine:
    """vox-256, the paper's. Raises WeightsError as `load` does."""
    return load_weights("fomm-vox", run)


def load_weights(name: str, run: RunOptions) -> FommEngine:
    """The engine with the weights of that name in weights.toml."""
    parts = (load_tensors(name, prefix=f"{part}.", offline=run.offline) for part in ("kp_detector", "generator"))
    detector, generator = parts
    return FommEngine(load_state(KeypointDetector(), detector, name), load_state(Generator(), generator, name), run)
