"""face vid2vid as an engine: motion kind "facevid2vid", rows angles (3,) yaw pitch roll in degrees, shift (3,), expression (15, 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from thcli.core.options import MotionOptions, RenderOptions, RunOptions, ViewOptions
from thcli.core.types import Array32
from thcli.engines.facevid2vid import pose
from thcli.engines.facevid2vid.estimator import KEYPOINTS, HeadEstimator, KeypointDetector
from thcli.engines.facevid2vid.networks import Encoded, Generator, OriginalGenerator, SpadeGenerator
from thcli.engines.shared.motion_rows import Clip, Rows, blended, gains
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.engines.shared.networks.checkpoint import without_spectral_norm
from thcli.engines.shared.networks.engine import CropEngine, CropSource
from thcli.engines.shared.networks.keypoints import movement_scale, relative_points
from thcli.weights.tensors import load_tensors

PARTS = ("kp_detector", "he_estimator", "generator")


class Held(NamedTuple):
    """A source. networks: what the generator keeps.  canonical: (15, 3), keypoints: (1, 15, 3), on the host."""

    networks: Encoded
    canonical: Array32
    keypoints: Array32


class Networks(NamedTuple):
    """A checkpoint's three. beta: of the older one, whose axes differ."""

    detector: KeypointDetector
    estimator: HeadEstimator
    generator: Generator
    beta: bool = False


class FaceVid2VidEngine(CropEngine):
    """Relative: the 3-D keypoints move as the source's would under the driver's pose and expression, since the reference frame.

    view: degrees by which the driving head is turned further.
    """

    motion_kind = "facevid2vid"

    def __init__(
        self, networks: Networks, run: RunOptions, view: ViewOptions | None = None
    ) -> None:
        super().__init__(run, {"angles": (3,), "shift": (3,), "expression": (KEYPOINTS, 3)})
        self.detector = self.ready(networks.detector)
        self.estimator = self.ready(networks.estimator)
        self.generator = self.ready(networks.generator)
        self.beta = networks.beta
        view = view or ViewOptions()
        self.turn = np.array([view.yaw, view.pitch, view.roll], np.float32)

    def look(self, pictures: Tensor) -> dict[str, Tensor]:
        head = self.estimator(pictures)
        return {
            "angles": head.angles(),
            "shift": head.shift,
            "expression": head.expression.view(-1, KEYPOINTS, 3),
        }

    def encode(self, picture: Tensor, rows: dict[str, Tensor]) -> Held:
        canonical = self.detector(picture)
        own = self.keypoints(
            canonical[0].cpu().numpy(), {name: row.cpu().numpy() for name, row in rows.items()}
        )
        encoded = self.generator.encode(picture, torch.from_numpy(own).to(self.device))
        return Held(encoded, canonical[0].cpu().numpy(), own)

    def keypoints(self, canonical: Array32, rows: Rows) -> Array32:
        """The source's keypoints (T, 15, 3) under rows of pose and expression."""
        return pose.keypoints(
            canonical, rows["angles"], rows["shift"], rows["expression"], beta=self.beta
        )

    def carrier(
        self, source: CropSource, clip: Clip, options: MotionOptions
    ) -> Callable[[Rows], Rows]:
        head, face = gains(options, self.motion_kind, parted=True)
        held: Held = source.encoded
        relative = options.mode == "relative"
        base = clip.row(clip.best_frame(source.landmarks)) if relative else source.rows
        first = self.keypoints(held.canonical, base)
        scale = movement_scale(held.keypoints[0], first[0]) if relative else 1.0

        def carry(rows: Rows) -> Rows:
            turned = {"angles": rows["angles"] + self.turn, "shift": rows["shift"]}
            posed = blended({k: base[k] for k in turned}, turned, head)
            expression = blended(
                {"expression": base["expression"]}, {"expression": rows["expression"]}, face
            )
            points = self.keypoints(held.canonical, posed | expression)
            return {
                "keypoints": relative_points(points, first, held.keypoints, scale)
                if relative
                else points
            }

        return carry

    def paint(self, encoded: Held, rows: dict[str, Tensor]) -> Tensor:
        return self.generator(encoded.networks, rows["keypoints"])  # type: ignore[no-any-return]  # torch's modules return Any


def load(run: RunOptions, options: RenderOptions | None = None) -> FaceVid2VidEngine:
    """The SPADE generator, as it is usually shared. Raises WeightsError when it is not here or is another model's."""
    return load_weights("facevid2vid", run, options)


def load_new(run: RunOptions, options: RenderOptions | None = None) -> FaceVid2VidEngine:
    """The author's own vox-256-new."""
    return load_weights("facevid2vid-new", run, options)


def load_beta(run: RunOptions, options: RenderOptions | None = None) -> FaceVid2VidEngine:
    """The author's older checkpoint: original generator, other axes."""
    return load_weights("facevid2vid-beta", run, options)


def load_fadm(run: RunOptions, options: RenderOptions | None = None) -> FaceVid2VidEngine:
    """The one whose coarse frames FADM's refiner knows; its demo drives it absolutely (--motion absolute)."""
    return load_weights("fadm-facevid", run, options)


def load_weights(name: str, run: RunOptions, options: RenderOptions | None) -> FaceVid2VidEngine:
    """The engine with the weights of that name in weights.toml."""
    parts = [load_tensors(name, prefix=f"{part}.", offline=run.offline) for part in PARTS]
    return FaceVid2VidEngine(assemble(parts, name), run, None if options is None else options.view)


def assemble(parts: Sequence[Mapping[str, Tensor]], where: str) -> Networks:
    """Networks of a checkpoint's PARTS; which generator and which version it is, its keys tell.

    Raises WeightsError naming keys that do not fit.
    """
    detector, estimator, generator = parts
    beta = "down.weight" not in detector
    spade = any(key.startswith("decoder.") for key in generator)
    plain = without_spectral_norm(generator, where)
    return Networks(
        load_state(KeypointDetector(reduced=not beta), detector, where),
        load_state(HeadEstimator(), estimator, where),
        load_state(SpadeGenerator() if spade else OriginalGenerator(), plain, where),
        beta,
    )
