"""Layouts of checkpoints: tensor names and shapes, compared before a file is imported.

Layers above know the networks. They pass one `LayoutCheck` for each entry to
`manage.import_file`; such a check loads the network's state on torch's meta device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thcli.core.errors import ThcliError, WeightsError
from thcli.weights.file_checks import is_safetensors, require_format
from thcli.weights.registry import PICKLES, WeightsEntry

if TYPE_CHECKING:
    import torch

PICKLE_SUFFIXES = (".pth", ".pt", ".tar", ".ckpt", ".bin", ".model", ".pkl")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors of an entry's files on the meta device: names and shapes without data.

    files: file or member -> its path.
    states: member of an archive, "" for any other file -> its tensors by full name.
    """

    entry: WeightsEntry
    files: Mapping[str, Path]
    states: Mapping[str, Mapping[str, torch.Tensor]]

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def path(self) -> Path:
        """The only file. Raises WeightsError for an archive."""
        if len(self.files) != 1:
            raise WeightsError(f"{self.name} is not a single file.")
        return next(iter(self.files.values()))

    def tensors(self, prefix: str | None = None, member: str = "") -> dict[str, torch.Tensor]:
        """Return the tensors whose names have a prefix, without it, as `load_tensors` does.

        Args:
            prefix: prefix of names; None stands for the entry's key_prefix.
            member: file in an archive.

        Raises:
            WeightsError: there are none.
        """
        wanted = self.entry.key_prefix if prefix is None else prefix
        state = self.states.get(member, {})
        found = {k.removeprefix(wanted): v for k, v in state.items() if k.startswith(wanted)}
        if not found:
            known = ", ".join(list(state)[:3]) or "none"
            raise WeightsError(
                f"{self.name} does not fit its network: no tensor's name begins with {wanted!r} "
                f"(there are {known}{', …' if len(state) > 3 else ''})."
            )
        return found


LayoutCheck = Callable[[Checkpoint], None]
"""Raises WeightsError when a checkpoint does not fit the networks of its entry."""
FolderConverter = Callable[[Path, Path], None]
"""Converts a user's folder to the file of an entry; raises WeightsError for other folders."""


def read_checkpoint(entry: WeightsEntry, files: Mapping[str, Path]) -> Checkpoint:
    """Read names and shapes of all tensors in the files of an entry, and check other formats.

    Args:
        entry: entry that the files are for.
        files: file or member -> its path.

    Raises:
        WeightsError: a file cannot be read, is unsafe or has another format.
    """
    states = {}
    for name, path in files.items():
        suffix = Path(name).suffix
        form = suffix.removeprefix(".") if entry.archive else entry.format
        if suffix in PICKLE_SUFFIXES if entry.archive else form in (*PICKLES, "safetensors"):
            states[name if entry.archive else ""] = _read_shapes(
                path, form, f"{entry.name}: {name}"
            )
        elif form == "pickle":
            from thcli.weights.pickles import read_arrays

            read_arrays(path)
        else:
            require_format(path, form, f"{entry.name}: {name}")
    return Checkpoint(entry, files, states)


def _read_shapes(path: Path, form: str, what: str) -> dict[str, torch.Tensor]:
    import torch

    if is_safetensors(path) or form == "safetensors":
        from safetensors import SafetensorError, safe_open

        require_format(path, "safetensors", what)
        try:
            with safe_open(path, framework="pt") as file:
                names = list(file.keys())
                shapes = [file.get_slice(name).get_shape() for name in names]
        except SafetensorError as exc:
            raise WeightsError(f"{what} is not a whole safetensors file: {exc}.") from exc
        return {n: torch.empty(s, device="meta") for n, s in zip(names, shapes, strict=True)}
    from thcli.weights.pickles import read_pickle

    return {name: tensor.to("meta") for name, tensor in read_pickle(path, mapped=True)[0].items()}


def require_layout(
    checkpoint: Checkpoint,
    checks: Mapping[str, LayoutCheck],
    entries: Mapping[str, WeightsEntry],
) -> None:
    """Raise WeightsError when a checkpoint does not fit the networks of its entry.

    The message has the first names that differ. The hint names another entry whose networks the
    checkpoint fits, if there is one.

    Args:
        checkpoint: checkpoint to check.
        checks: check of each entry's layout; an entry without one is accepted.
        entries: the registry.
    """
    if checkpoint.name not in checks:
        return
    import torch

    with torch.device("meta"):
        try:
            checks[checkpoint.name](checkpoint)
        except WeightsError as exc:
            similar = [n for n in checks if n in entries and n != checkpoint.name]
            fitting = next((n for n in similar if _fits(checkpoint, entries[n], checks[n])), "")
            raise WeightsError(
                exc.message,
                f"This looks like {fitting}: thcli weights import {fitting} FILE"
                if fitting
                else exc.hint,
            ) from exc


def _fits(checkpoint: Checkpoint, entry: WeightsEntry, check: LayoutCheck) -> bool:
    """Return True if the checkpoint fits the networks of another entry."""
    if set(entry.members) != set(checkpoint.entry.members):
        return False
    try:
        check(Checkpoint(entry, checkpoint.files, checkpoint.states))
    except ThcliError:
        return False
    return True
