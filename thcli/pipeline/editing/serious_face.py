"""Warning that a face is serious already, so that nothing changes when its smile is taken away."""

from __future__ import annotations

from collections.abc import Mapping

from thcli.core.events import Listener, Warned
from thcli.core.types import Array32
from thcli.editors.atlas.painter import AtlasPainter


class SeriousFaceNotice:
    """Warns once of a clip without a smile. Called as `PainterStep.notice`."""

    def __init__(self, painter: AtlasPainter, on: Listener) -> None:
        self._painter, self._on = painter, on
        self._warned = False

    def __call__(self, appearance: Array32, strengths: Mapping[str, float]) -> None:
        """Warn if a smile is to be taken away and none is seen."""
        if strengths.get("smiling", 0.0) >= 0 or self._painter.smile_seen(appearance) > 0:
            return
        if not self._warned:
            self._on(Warned("No smile is seen: taking it away (smiling=-1) changes nothing."))
        self._warned = True
