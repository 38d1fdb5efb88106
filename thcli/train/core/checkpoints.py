"""A run's state on disk: one safetensors file a checkpoint, whole or not there at all, from which a run goes on exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from thcli.core.errors import OutputError, UsageError
from thcli.media.atomic_file import SideFile
from thcli.media.failures import unwritable

KEPT = 2  # checkpoints of a run that stay


def save_tensors(path: Path, tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> None:
    """Writes a safetensors file in one rename. Raises OutputError."""
    plain = {
        name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()
    }
    with SideFile(path, overwrite=True) as file:
        try:
            save_file(plain, file.partial, dict(words))
        except SafetensorError as exc:
            raise OutputError(
                f"{path} cannot be written ({exc}).", "Free some space, or write somewhere else."
            ) from exc
        except OSError as exc:
            raise unwritable(path, exc) from exc


def pack_optimiser(name: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's memory as named tensors."""
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
    """The inverse of `pack_optimiser`."""
    state: dict[int, dict[str, Any]] = {}
    head = f"optimiser.{name}."
    for key, value in tensors.items():
        if key.startswith(head):
            number, _, item = key.removeprefix(head).partition(".")
            state.setdefault(int(number), {})[item] = value
    optimiser.load_state_dict(
        {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
    )


class Checkpoints:
    """The checkpoints of a run folder, the last two of which are kept."""

    def __init__(self, run: Path) -> None:
        self.folder = run / "checkpoints"

    def save(self, step: int, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Path:
        """After `step` updates. Raises OutputError."""
        path = self.folder / f"step-{step:08d}.safetensors"
        save_tensors(
            path, tensors, {"step": str(step), "config": json.dumps(config, sort_keys=True)}
        )
        for old in self.list()[:-KEPT]:
            old.unlink(missing_ok=True)
        return path

    def list(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("step-*.safetensors"))

    def load(self, config: Mapping[str, Any]) -> tuple[int, dict[str, Tensor]]:
        """The step and tensors of the last one. Raises UsageError when there is none, it is broken, or of another configuration."""
        found = self.list()
        if not found:
            raise UsageError(
                f"{self.folder.parent} has no checkpoint to go on from.", "Begin without --resume."
            )
        path = found[-1]
        try:
            with safe_open(path, framework="pt") as file:
                words = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a dict
        except (SafetensorError, OSError) as exc:
            raise UsageError(
                f"The checkpoint {path} is broken: {exc}.", "Delete it: the one before it is taken."
            ) from exc
        old = json.loads(words.get("config", "{}"))
        changed = sorted(key for key in {*old, *config} if old.get(key) != config.get(key))
        if changed:
            key = changed[0]
            raise UsageError(
                f"{path.parent.parent} was begun with {key} {old.get(key)!r}, not {config.get(key)!r}.",
                "Resume with the options that it was begun with, or begin anew with --overwrite.",
            )
        return int(words["step"]), tensors
