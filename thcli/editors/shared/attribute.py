"""One facial attribute of the catalogue, and the attributes that contradict each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thcli.editors.shared.keys import base_name

BackendShares = tuple[tuple[str, float], ...]
"""Names of backends, each with its share of the strength."""
AffectedRegion = Literal["face", "hair", "all"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of the catalogue.

    celeba: its CelebA label.
    sign: 1 for the label, -1 for its absence, 0 for the opposite of the face's own value.
    affected_region: part of the image that may change.
    alternatives: backends that can apply it; "auto" takes the first painter that is allowed.
    opposite: name of the attribute that a negative strength gives, or "".
    removal: backends that can take it away, the best first.
    instead: what can be done where "auto" refuses to remove it or, without a painter, to add it.
    coloured: it can have any colour, NAME=#RRGGBB.
    shapes: words of its form, NAME:SHAPE.
    """

    name: str
    about: str
    celeba: str
    sign: int
    affected_region: AffectedRegion
    alternatives: tuple[BackendShares, ...]
    aliases: tuple[str, ...] = ()
    opposite: str = ""
    removal: tuple[BackendShares, ...] = ()
    instead: str = ""
    coloured: bool = False
    shapes: tuple[str, ...] = ()

    @property
    def excludes(self) -> tuple[str, ...]:
        """Return the names of the attributes that contradict it."""
        own = base_name(self.name)
        groups = (group for group in EXCLUSIVE_GROUPS if own in group)
        return tuple(dict.fromkeys(name for group in groups for name in group if name != own))


EXCLUSIVE_GROUPS = (
    ("gender", "male"),
    ("gender", "female"),
    ("beard", "stubble"),
    ("eyeglasses", "sunglasses"),
    ("hair", "blond", "black_hair", "brown_hair", "gray_hair", "red_hair", "bald"),
    ("bald", "bangs"),
    ("bald", "wavy_hair", "straight_hair"),
    ("bald", "bangs", "receding_hairline"),
)
"""Groups of attributes of which a face can have one only."""
