"""An export of a2m-published at full size fits the layout that imports are checked by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from thcli import weights
from thcli.cli.layouts import layout_checks
from thcli.core.errors import WeightsError
from thcli.core.options import A2mPublishedTrainOptions, TrainOptions
from thcli.train.a2m.published import config_text
from thcli.train.core.run import create_task
from thcli.voices.real3d.networks import CheckpointFlags
from thcli.voices.real3d.voice import CHECKPOINT, CONFIG
from thcli.weights.layout import Checkpoint, require_layout


def test_a2m_fits_its_row(tmp_path: Path) -> None:
    with FakeTensorMode():
        task = create_task("a2m-published", TrainOptions(size=200), A2mPublishedTrainOptions())
        states = {name: network.state_dict() for name, network in task.networks.items()}
        tensors = {
            key: torch.empty(value.shape, dtype=value.dtype, device="meta")
            for key, value in task.export_tensors(states).items()
        }
    config = tmp_path / "config.yaml"
    config.write_text(config_text(CheckpointFlags()), "utf-8")
    row, files = weights.registry()["real3d"], {CONFIG: config}
    require_layout(Checkpoint(row, files, {CHECKPOINT: tensors}), layout_checks(), {})
    tensors.popitem()
    with pytest.raises(WeightsError, match="missing"):
        layout_checks()["real3d"](Checkpoint(row, files, {CHECKPOINT: tensors}))
