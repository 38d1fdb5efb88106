"""dh-s's ear: from the log-mel around a frame to the mouth's part of its code. Plays the frozen speech encoder of the paper."""

from __future__ import annotations

from torch import Tensor, nn

from thcli.audio.mel import BINS

AROUND = 28  # mel rows (10 ms) on each side of a frame
MEL = 2 * AROUND + 1
MIDDLE, SPREAD = -9.0, 4.0  # of log-mel energies of levelled speech
MOUTH = 8


class Ear(nn.Module):
    """Convolutions over time, then two layers over what is left."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(BINS, width, 5, 2), nn.GroupNorm(8, width), nn.SiLU(),
            nn.Conv1d(width, width, 5, 2), nn.GroupNorm(8, width), nn.SiLU(),
            nn.Conv1d(width, width, 3, 1), nn.SiLU(), nn.Flatten(), nn.Dropout(0.3),
            nn.Linear(10 * width, 128), nn.SiLU(), nn.Dropout(0.2), nn.Linear(128, MOUTH),
        )  # fmt: skip

    def forward(self, mel: Tensor) -> Tensor:
        """(B, MEL, BINS) log-mel -> (B, 8), in the units of `articulation.code`, against the speaker's mouth at rest."""
        out: Tensor = self.layers(((mel - MIDDLE) / SPREAD).transpose(1, 2))
        return out
