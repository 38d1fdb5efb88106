"""The published encoder of DVA with a shallow identity network: a fifth of its memory."""

from __future__ import annotations

import pytest

from thcli.editors.dva import arcface
from thcli.editors.dva.encoder import Encoder

GROUPS = tuple((channels, 1) for channels, _ in arcface.GROUPS)


def shallow_encoder() -> Encoder:
    """Create an encoder with one block for each stage of its identity network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arcface, "GROUPS", GROUPS)
        return Encoder()
