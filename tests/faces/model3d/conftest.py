"""Fixtures of the stage tests: clips and the command runner."""

from tests.pipeline.stages.conftest import blank, clip, gap, pair, photo, room, thcli

__all__ = ["blank", "clip", "gap", "pair", "photo", "room", "thcli"]
