"""The clips and the command runner of the stage tests."""

from tests.pipeline.stages.conftest import blank, clip, gap, pair, photo, room, thcli

__all__ = ["blank", "clip", "gap", "pair", "photo", "room", "thcli"]
