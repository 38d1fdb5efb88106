"""Engines whose driver's rows are added to the source's own: the change since the frame in which the two look most alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from thcli.core.options import MotionOptions, RunOptions
from thcli.engines.shared.motion_rows import Clip, Rows, blended, gains
from thcli.engines.shared.networks.engine import CropEngine, CropSource

Change = Callable[[Rows], Rows]


class RelativeEngine(CropEngine):
    """Absolute: the driver's rows as they are. Relative: the source's own, changed as the driver's have since the reference frame."""

    @abstractmethod
    def since(self, first: Rows, own: Rows) -> Change:
        """The driver's rows -> the source's, moved alike. first: the driver's at the reference frame.  own: the source's, (1, ...) each."""

    def carrier(self, source: CropSource, clip: Clip, options: MotionOptions) -> Change:
        share, _ = gains(options, self.motion_kind, parted=False)
        own = source.rows
        if options.mode == "absolute":
            return lambda rows: blended(own, rows, share)
        change = self.since(clip.row(clip.best_frame(source.landmarks)), own)
        return lambda rows: blended(own, change(rows), share)


class KeypointEngine(RelativeEngine):
    """A keypoint detector and a generator that is driven by its keypoints: FOMM and Monkey-Net.

    kind: the networks' tuple of keypoints, whose fields are the motion's rows.
    """

    kind: Callable[..., Any]

    def __init__(
        self,
        detector: nn.Module,
        generator: nn.Module,
        run: RunOptions,
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        super().__init__(run, shapes)
        self.detector, self.generator = self.ready(detector), self.ready(generator)

    def look(self, pictures: Tensor) -> dict[str, Tensor]:
        return self.detector(pictures)._asdict()  # type: ignore[no-any-return]  # torch's modules return Any

    def encode(self, picture: Tensor, rows: dict[str, Tensor]) -> Any:
        encode: Callable[..., Any] = self.generator.encode  # type: ignore[assignment]  # torch's modules may hold anything
        return encode(picture, type(self).kind(**rows))

    def paint(self, encoded: Any, rows: dict[str, Tensor]) -> Tensor:
        return self.generator(encoded, type(self).kind(**rows))  # type: ignore[no-any-return]  # torch's modules return Any
