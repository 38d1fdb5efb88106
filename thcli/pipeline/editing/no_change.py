"""Warnings that a clip is already as an attribute would make it, so that nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from thcli.core.events import Listener, Warned
from thcli.core.protocols import Painter
from thcli.core.types import Array32
from thcli.editors.atlas.painter import AtlasPainter
from thcli.editors.drawn.appearance import Appearance
from thcli.editors.drawn.painter import DrawnPainter
from thcli.editors.drawn.tint import grey_already

Notice = Callable[[Array32, Mapping[str, float]], None]
_SERIOUS = "No smile is seen: taking it away (smiling=-1) changes nothing."
_GREY = "The hair is grey already: gray_hair changes next to nothing."
_SURELY_GREY = 0.9  # of 1; the dye loses this share of its strength


class NoChangeNotice:
    """Warns once of a clip that has it already. Called as `PainterStep.notice`."""

    def __init__(
        self, has: Callable[[Array32, Mapping[str, float]], bool], text: str, on: Listener
    ) -> None:
        self._has, self._text, self._on = has, text, on
        self._warned = False

    def __call__(self, appearance: Array32, strengths: Mapping[str, float]) -> None:
        """Warn if the strengths ask for what the clip has."""
        if not self._warned and self._has(appearance, strengths):
            self._warned = True
            self._on(Warned(self._text))


def notice_of(painter: Painter, on: Listener) -> Notice | None:
    """Return the warning of a painter, None for painters without one."""
    if isinstance(painter, AtlasPainter):
        return NoChangeNotice(partial(_is_serious, painter), _SERIOUS, on)
    return NoChangeNotice(_is_grey, _GREY, on) if isinstance(painter, DrawnPainter) else None


def _is_serious(painter: AtlasPainter, appearance: Array32, strengths: Mapping[str, float]) -> bool:
    return strengths.get("smiling", 0.0) < 0 and painter.smile_seen(appearance) <= 0


def _is_grey(appearance: Array32, strengths: Mapping[str, float]) -> bool:
    asked = strengths.get("gray_hair", 0.0) > 0
    return asked and grey_already(Appearance.from_array(appearance)) > _SURELY_GREY
