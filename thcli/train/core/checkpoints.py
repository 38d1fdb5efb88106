"""Training checkpoints: one safetensors file each, written atomically, for an exact resume."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from thcli.core.errors import OutputError, UsageError
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.media.atomic_file import AtomicFile
from thcli.media.failures import to_output_error
from thcli.weights.tensors import load_tensors

KEEP_LAST = 2  # checkpoints of a run that are kept


def load_start(network: nn.Module, path: str, prefix: str) -> None:
    """Load a network of another run in place, to be trained on.

    Args:
        network: Network to fill.
        path: The other run's file.
        prefix: Of the network's keys.

    Raises:
        WeightsError: The file is missing, or is another model's or of another --narrow.
    """
    load_state(network, load_tensors(Path(path), prefix=prefix), path).requires_grad_(True)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically, with tensors copied to the CPU.

    Args:
        path: File to write; an existing one is replaced.
        tensors: Name to tensor.
        metadata: Strings for the file's header.

    Raises:
        OutputError: The file cannot be written.
    """
    on_cpu = {
        name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()
    }
    with AtomicFile(path, overwrite=True) as file:
        try:
            save_file(on_cpu, file.partial, dict(metadata))
        except SafetensorError as exc:
            raise OutputError(
                f"{path} cannot be written ({exc}).", "Free some space, or write somewhere else."
            ) from exc
        except OSError as exc:
            raise to_output_error(path, exc) from exc


def pack_optimiser(name: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state as tensors named `optimiser.NAME.PARAMETER.ITEM`."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        f"optimiser.{name}.{number}.{key}": torch.as_tensor(value)
        for number, entry in state.items()
        for key, value in entry.items()
        if value is not None
    }


def unpack_optimiser(
    name: str, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Load an optimiser's state from tensors named by `pack_optimiser`."""
    state: dict[int, dict[str, Any]] = {}
    prefix = f"optimiser.{name}."
    for key, value in tensors.items():
        if key.startswith(prefix):
            number, _, item = key.removeprefix(prefix).partition(".")
            state.setdefault(int(number), {})[item] = value
    optimiser.load_state_dict(
        {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
    )


class Checkpoints:
    """The checkpoint files of a run folder; the last `KEEP_LAST` are kept."""

    def __init__(self, run: Path) -> None:
        self.folder = run / "checkpoints"

    def save(self, step: int, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Path:
        """Write the checkpoint after `step` updates and delete old ones.

        Args:
            step: Updates done.
            tensors: State of the run.
            config: Settings that a resumed run must share, stored as JSON.

        Raises:
            OutputError: The file cannot be written.
        """
        path = self.folder / f"step-{step:08d}.safetensors"
        save_tensors(
            path, tensors, {"step": str(step), "config": json.dumps(config, sort_keys=True)}
        )
        for old in self.list()[:-KEEP_LAST]:
            old.unlink(missing_ok=True)
        return path

    def list(self) -> list[Path]:
        """Return the checkpoint files, oldest first."""
        return sorted(self.folder.glob("step-*.safetensors"))

    def load(self, config: Mapping[str, Any]) -> tuple[int, dict[str, Tensor]]:
        """Return the step and the tensors of the last checkpoint.

        Args:
            config: Settings of the resuming run.

        Raises:
            UsageError: There is no checkpoint, it is broken, or its configuration differs.
        """
        found = self.list()
        if not found:
            raise UsageError(
                f"{self.folder.parent} has no checkpoint to resume from.", "Start without --resume."
            )
        path = found[-1]
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
            old, step = json.loads(metadata["config"]), int(metadata["step"])
            if not isinstance(old, dict):
                raise ValueError("its configuration is not a table")
        except (SafetensorError, OSError, LookupError, ValueError, RecursionError) as exc:
            raise UsageError(
                f"The checkpoint {path} is broken: {exc}.",
                "Delete it; the run then resumes from the one before it.",
            ) from exc
        changed = sorted(key for key in {*old, *config} if old.get(key) != config.get(key))
        if changed:
            key = changed[0]
            raise UsageError(
                f"{path.parent.parent} was started with {key} {old.get(key)!r}, "
                f"not {config.get(key)!r}.",
                "Resume with the original options, or start again with --overwrite.",
            )
        return step, tensors
