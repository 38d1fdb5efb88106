"""X2Face as an engine: motion kind "x2face", one row a frame, the driving code (128,)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from thcli.core.options import RenderOptions, RunOptions
from thcli.engines.shared.motion_rows import Rows
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.engines.shared.networks.keypoints import relative_points
from thcli.engines.shared.networks.relative import Change, RelativeEngine
from thcli.engines.x2face.networks import X2Face
from thcli.weights.tensors import load_tensors

MEMBER = "x2face_model_forpython3.pth"


class Encoded(NamedTuple):
    """mosaic: (1, 3, 256, 256), the source laid out as a face seen from the front."""

    mosaic: Tensor


class X2FaceEngine(RelativeEngine):
    """Absolute, as published: the driver's code as it is. Relative: the source's own code plus the change of the driver's since the
    reference frame, as the paper's audio-driven variant adds changes of a code."""

    motion_kind = "x2face"

    def __init__(self, model: X2Face, run: RunOptions) -> None:
        super().__init__(run, {"code": (model.code_size,)})
        self.model = self.ready(model)

    def look(self, pictures: Tensor) -> dict[str, Tensor]:
        return {"code": self.model.code(pictures)}

    def encode(self, picture: Tensor, rows: dict[str, Tensor]) -> Encoded:
        return Encoded(self.model.mosaic(picture))

    def since(self, first: Rows, own: Rows) -> Change:
        return lambda rows: {"code": relative_points(rows["code"], first["code"], own["code"])}

    def paint(self, encoded: Encoded, rows: dict[str, Tensor]) -> Tensor:
        return self.model(encoded.mosaic, rows["code"])  # type: ignore[no-any-return]  # torch's modules return Any


def load(run: RunOptions, options: RenderOptions | None = None) -> X2FaceEngine:
    """The released model. Raises WeightsError when it is not here or is another one."""
    tensors = load_tensors("x2face", member=MEMBER, offline=run.offline)
    return X2FaceEngine(load_state(X2Face(), tensors, "x2face"), run)
