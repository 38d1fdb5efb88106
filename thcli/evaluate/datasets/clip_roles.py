"""Clips on which constants of thcli were chosen; figures that report leave them out or say so.

docs/evaluation.md explains the list, and names the speakers that no training has seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

CHOSEN_ON = frozenset(
    {
        "d0",
        "d10",
        "talk_anchor_6s",
        "talk_katie_8s",
        "talk_may_5s",
        "talk_moving_8s",
        "talk_suit_6s",
        "grid_s2_pwij3p",
    }
)  # names of files, without their endings


def chosen_on(names: Iterable[str]) -> list[str]:
    """Return the clips among these, by file name, on which constants were chosen."""
    return [name for name in names if Path(name).stem in CHOSEN_ON]
