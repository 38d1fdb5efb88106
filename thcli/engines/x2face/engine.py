"""X2Face as an engine.

Motion kind "x2face"; rows: code (128,), the driving code.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from thcli.core.options import RenderOptions, RunOptions
from thcli.engines.shared.motion_rows import Rows
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.engines.shared.networks.keypoints import relative_points
from thcli.engines.shared.networks.relative import RelativeEngine, RowTransfer
from thcli.engines.x2face.networks import X2Face
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

MEMBER = "x2face_model_forpython3.pth"


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

    motion_kind = "x2face"

    def __init__(self, model: X2Face, run: RunOptions) -> None:
        super().__init__(run, {"code": (model.code_size,)})
        self.model = self.prepare(model)

    def extract_motion(self, images: Tensor) -> dict[str, Tensor]:
        return {"code": self.model.code(images)}

    def encode(self, image: Tensor, rows: dict[str, Tensor]) -> EncodedSource:
        return EncodedSource(self.model.mosaic(image))

    def relative_change(self, first: Rows, own: Rows) -> RowTransfer:
        return lambda rows: {"code": relative_points(rows["code"], first["code"], own["code"])}

    def synthesize(self, encoded: EncodedSource, rows: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.model(encoded.mosaic, rows["code"])
        return out


def load(run: RunOptions, options: RenderOptions | None = None) -> X2FaceEngine:
    """Load the released model.

    Raises:
        WeightsError: the weights are missing or another model's.
    """
    tensors = load_tensors("x2face", member=MEMBER, offline=run.offline)
    return X2FaceEngine(load_state(X2Face(), tensors, "x2face"), run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network."""
    load_state(X2Face(), checkpoint.tensors(member=MEMBER), checkpoint.name)
