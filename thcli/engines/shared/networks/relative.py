"""Engines that add the driver's change since a reference frame to the source's own rows.

The reference is the driving frame whose face shape is closest to the source's.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import Tensor, nn

from thcli.core.options import MotionOptions, RunOptions
from thcli.engines.shared.motion_rows import Rows, SmoothedMotion, blend_rows, transfer_gains
from thcli.engines.shared.networks.engine import CropSource, TorchCropEngine

RowTransfer = Callable[[Rows], Rows]


class RelativeEngine(TorchCropEngine):
    """Base class of engines with relative and absolute motion.

    Absolute: the driver's rows unchanged. Relative: the source's own rows plus the driver's change
    since the reference frame.
    """

    @abstractmethod
    def relative_change(self, first: Rows, own: Rows) -> RowTransfer:
        """Return the function from the driver's rows to the source's under the same change.

        Args:
            first: the driver's rows (1, ...) at the reference frame.
            own: the source's rows (1, ...).
        """

    def make_transfer(
        self, source: CropSource, driving: SmoothedMotion, options: MotionOptions
    ) -> RowTransfer:
        share, _ = transfer_gains(options, self.motion_kind, separable=False)
        own = source.rows
        if options.mode == "absolute":
            return lambda rows: blend_rows(own, rows, share)
        change = self.relative_change(driving.row(driving.best_frame(source.landmarks)), own)
        return lambda rows: blend_rows(own, change(rows), share)


class KeypointEngine(RelativeEngine):
    """A keypoint detector and a generator that its keypoints drive: FOMM and Monkey-Net.

    keypoint_type: the networks' tuple of keypoints, whose fields are the motion's rows.
    """

    keypoint_type: Callable[..., Any]

    def __init__(
        self,
        detector: nn.Module,
        generator: nn.Module,
        run: RunOptions,
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        super().__init__(run, shapes)
        self.detector, self.generator = self.prepare(detector), self.prepare(generator)

    def extract_motion(self, images: Tensor) -> dict[str, Tensor]:
        out: dict[str, Tensor] = self.detector(images)._asdict()
        return out

    def encode(self, image: Tensor, rows: dict[str, Tensor]) -> Any:
        encode = cast(Callable[..., Any], self.generator.encode)  # not declared by nn.Module
        return encode(image, type(self).keypoint_type(**rows))

    def synthesize(self, encoded: Any, rows: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.generator(encoded, type(self).keypoint_type(**rows))
        return out
