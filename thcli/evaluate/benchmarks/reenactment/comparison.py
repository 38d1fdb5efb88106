"""Comparison of several engines, or of finished videos, on several clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from thcli.core.events import Listener, silent
from thcli.core.options import EvaluateOptions, ReadOptions
from thcli.evaluate.benchmarks.reenactment.reenact import (
    ClipRenderer,
    CrossSetup,
    MeasureSetup,
    evaluate_cross,
    evaluate_self,
    evaluate_videos,
)
from thcli.evaluate.datasets.result_pairs import TrueClip
from thcli.evaluate.reports.report import Evaluation


@dataclass(frozen=True)
class Comparison:
    """Engines and measures of a comparison.

    Attributes:
        engines: label -> renderer; not used for clips with results.
        setup: tracker and metrics.
        cross: what cross identity needs.
        options: frames, source frame, columns.
        read: part of each clip.
        folder: where a player of each clip goes, None for none.
        players: clip or pair -> name of its player.
    """

    engines: Mapping[str, ClipRenderer]
    setup: MeasureSetup
    cross: CrossSetup
    options: EvaluateOptions
    read: ReadOptions
    folder: Path | None = None
    players: dict[str, str] = field(default_factory=dict)

    def measure_clips(
        self, clips: Mapping[str, TrueClip], on: Listener = silent
    ) -> dict[str, Evaluation]:
        """Measure each clip by itself. Raises as `evaluate_self` and `evaluate_videos`."""
        found = {}
        for name, clip in clips.items():
            setup = self._with_player(name)
            if clip.results:
                found[name] = evaluate_videos(
                    clip.path, clip.results, setup, self.options, self.read, on
                )
            else:
                found[name] = evaluate_self(
                    clip.path, self.engines, setup, self.options, self.read, on
                )
        return found

    def measure_pairs(
        self, clips: Mapping[str, TrueClip], on: Listener = silent
    ) -> dict[str, Evaluation]:
        """Let each clip drive the source of the one before it. Raises as `evaluate_cross`."""
        names, found = list(clips), {}
        for source, driver in zip(names, [*names[1:], names[0]], strict=True):
            name = f"{source} < {driver}"
            paths = clips[source].path, clips[driver].path
            found[name] = evaluate_cross(
                paths,
                self.engines,
                self._with_player(name),
                self.cross,
                self.options,
                self.read,
                on,
            )
        return found

    def _with_player(self, name: str) -> MeasureSetup:
        if self.folder is None:
            return self.setup
        self.players[name] = f"clip-{len(self.players) + 1}.mp4"
        return replace(self.setup, player=self.folder / self.players[name])
