"""Training checkpoints: one safetensors file each, written atomically, for an exact resume."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from thcli.core.errors import OutputError, UsageError
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.media.atomic_file import AtomicFile
from thcli.media.failures import to_output_error
from thcli.weights.tensors import load_tensors

KEEP_LAST = 2  # checkpoints of a run that are kept


def load_start(
    network: nn.Module, path: str, prefix: str = "", patches: Mapping[str, int] | None = None
) -> tuple[str, ...]:
    """Load a network of another run in place, to be trained on.

    Args:
        network: Network to fill.
        path: The other run's file.
        prefix: Of the network's keys.
        patches: Kernels that read patches of pixels, and the channels of the image. With it the
            file may be of another size or have other layers: these kernels are resized, and
            what else is absent or misshapen stays as initialised.

    Returns:
        Names of the tensors that stay as initialised; without `patches` none.

    Raises:
        WeightsError: The file is missing, or is another model's or of another --narrow; with
            `patches`, less than half of the network's numbers are in it.
    """
    given, own = load_tensors(Path(path), prefix=prefix), network.state_dict()
    kept: tuple[str, ...] = ()
    if patches is not None:
        fitting = {
            key: tensor
            for key, value in given.items()
            if key in own
            and (tensor := _fit_patches(value, own[key], patches.get(key))).shape == own[key].shape
        }
        if 2 * _count(fitting) >= _count(own):  # else below: what differs
            kept, given = tuple(key for key in own if key not in fitting), own | fitting
    load_state(network, given, path).requires_grad_(True)
    return kept


def _count(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())


def _fit_patches(kernel: Tensor, wanted: Tensor, channels: int | None) -> Tensor:
    """Return a kernel for patches of the size of another's; without `channels` as it is."""
    if channels is None or kernel.shape == wanted.shape or kernel.ndim != 4:
        return kernel
    if kernel.shape[1] != channels * math.isqrt(kernel.shape[1] // channels) ** 2:
        return kernel
    return resize_patches(kernel, channels, math.isqrt(wanted.shape[1] // channels))


def resize_patches(kernel: Tensor, channels: int, side: int) -> Tensor:
    """Resize a kernel that reads patches of pixels to patches of another size.

    It is resized bilinearly in the layout of the image that it covers, and scaled by the area
    of a patch, so that a smooth image gives about the same.

    Args:
        kernel: (O, channels * P * P, K, K), the order of its inputs as of `pixel_unshuffle`.
        channels: Of the image.
        side: Q, the side of the new patches in pixels.

    Returns:
        (O, channels * Q * Q, K, K), float32.
    """
    patch, reach = math.isqrt(kernel.shape[1] // channels), kernel.shape[-1]
    parts = kernel.float().reshape(-1, channels, patch, patch, reach, reach)
    image = parts.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
    image = F.interpolate(image, (reach * side, reach * side), mode="bilinear")
    parts = image.reshape(-1, channels, reach, side, reach, side).permute(0, 1, 3, 5, 2, 4)
    return parts.flatten(1, 3) * (patch / side) ** 2


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
