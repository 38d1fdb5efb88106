"""Tests of the names of several outputs of an edit."""

from __future__ import annotations

import pytest

from thcli.core.errors import UsageError
from thcli.core.options import EditOptions
from thcli.pipeline.editing.request import parse_requests
from thcli.pipeline.editing.variants import variant_targets


def names(*attributes: str) -> list[str]:
    """Return the outputs of attributes as given."""
    options = EditOptions(attr=list(attributes))
    return [str(path) for path in variant_targets("a.mp4", parse_requests(options), options)]


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        (["beard=0.5,1"], ["beard_0.5", "beard_1"]),
        (["hair=blue,red"], ["hair_blue", "hair_red"]),
        (["hair=#8A2BE2,#123456"], ["hair_violet", "hair_123456"]),
        (["glasses:round=blue,red"], ["eyeglasses_round_blue", "eyeglasses_round_red"]),
        (["beard=1,red"], ["beard_1", "beard_red"]),
        (["hair=blue,red", "smiling=1,2"], ["hair_blue_smiling_1", "hair_red_smiling_2"]),
        (["smiling", "hair=blue,red"], ["hair_blue", "hair_red"]),
    ],
)
def test_each_file_has_the_strength_or_colour_in_its_name(
    words: list[str], labels: list[str]
) -> None:
    assert names(*words) == [f"a_{label}.mp4" for label in labels]


@pytest.mark.parametrize("word", ["beard=1,1", "hair=blue,blue", "hair=violet,#8a2be2"])
def test_equal_ones_are_refused(word: str) -> None:
    with pytest.raises(UsageError, match="equal"):
        names(word)
