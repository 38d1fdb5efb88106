"""Refiner resshift-s: the detail of the source, then residual shifting.

The pipeline adds the detail. This network sees the result and adds what it still lacks.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from thcli.core.batches import require_finite
from thcli.core.errors import UsageError
from thcli.core.options import RefineOptions, RunOptions
from thcli.core.types import Array32
from thcli.diffusion.noise import INITIAL_NOISE_STEP, frame_noise
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.refiners.resshift.network import (
    SCALE,
    STEPS,
    Conditions,
    ShiftNetwork,
    chosen_steps,
    shifts,
    walk,
)
from thcli.refiners.shared.after_detail import AfterDetail
from thcli.refiners.shared.residual import ResidualInput
from thcli.refiners.shared.torch_refiner import TorchRefiner
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

NAME = "resshift-s"
SIDE = 128
DEFAULT_STEPS = 1


class ShiftRefiner(TorchRefiner, AfterDetail):
    """ResidualRefiner protocol over the network of residual shifting."""

    residual_side = SIDE

    def __init__(self, network: ShiftNetwork, run: RunOptions) -> None:
        super().__init__(run)
        self.network = self.prepare(network)
        self.seed, self.shifts = run.seed, shifts()

    def network_calls(self, options: RefineOptions) -> int:
        """Count the network calls per frame.

        Raises UsageError for more steps than the schedule has.
        """
        steps = options.steps or DEFAULT_STEPS
        if steps > STEPS:
            raise UsageError(
                f"{steps} sampling steps are out of range.", f"--steps must be within 1..{STEPS}."
            )
        return steps

    def predict_residual(self, view: ResidualInput, number: int, options: RefineOptions) -> Array32:
        """Predict what a crop lacks; see `ResidualRefiner`."""
        frame = number if options.noise == "frame" else 0
        noise = frame_noise(self.seed, frame, INITIAL_NOISE_STEP, (1, 3, SIDE, SIDE))
        with self.inference():
            conditions = Conditions(
                self._image(view.detailed),
                self._image(view.coarse),
                self._image(view.source),
                self._image(view.visibility[..., None]),
            ).channels()
            steps = chosen_steps(self.network_calls(options))
            shown = noise.to(self.device)
            predicted = walk(self.network, shown, conditions, self.shifts, steps)
            unscaled = predicted[0].float().permute(1, 2, 0).cpu().numpy()
        require_finite(unscaled)
        return np.asarray(unscaled * np.float32(255 / SCALE), np.float32)

    def _image(self, values: Array32) -> Tensor:
        """Convert (S, S, C) to (1, C, S, S) on the device."""
        return torch.from_numpy(values).to(self.device).permute(2, 0, 1)[None].contiguous()


def load(run: RunOptions) -> ShiftRefiner:
    """Load the bundled network.

    Raises:
        WeightsError: the weights are missing, another model's, or refused by --licence.
    """
    check_licence(NAME, run.licence)
    tensors = load_tensors(NAME, prefix="network.", offline=run.offline)
    return ShiftRefiner(load_state(ShiftNetwork(), tensors, NAME), run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network."""
    load_state(ShiftNetwork(), checkpoint.tensors("network."), checkpoint.name)
