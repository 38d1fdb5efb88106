"""Archives in Real3D-Portrait's layout: a configuration and a checkpoint in a zip file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from thcli.media.atomic_file import replace_atomically


def write_archive(
    target: Path, config: tuple[str, str], checkpoint: str, model: Mapping[str, Tensor]
) -> Path:
    """Write the archive and return its path; an earlier one is replaced.

    Args:
        target: the zip file.
        config: name of the configuration's member, and its text.
        checkpoint: name of the checkpoint's member.
        model: tensors of the checkpoint's state_dict.model.
    """
    state = {"state_dict": {"model": {key: value.clone() for key, value in model.items()}}}
    with (
        replace_atomically(target, overwrite=True) as partial,
        zipfile.ZipFile(partial, "w") as archive,
    ):
        archive.writestr(*config)
        with archive.open(checkpoint, "w", force_zip64=True) as member:
            torch.save(state, member)
    return target
