"""Flags of a checkpoint, read from the top level of its published config.yaml."""

from __future__ import annotations

import re

from thcli.core.errors import WeightsError
from thcli.voices.real3d.networks import CheckpointFlags

_LINE = re.compile(r"^([a-z_0-9]+):[ \t]*([^#\n]*)", re.MULTILINE)
_OUTPUTS = {"exp": 64, "id_exp": 144}


def read_flags(text: str, name: str) -> CheckpointFlags:
    """Read the flags of a config.yaml; missing ones have the official checkpoint's values.

    Raises:
        WeightsError: the model is of a kind that is not supported.
    """
    values: dict[str, str] = {key: value.strip().strip("'\"") for key, value in _LINE.findall(text)}

    def flag(key: str, default: bool) -> bool:
        word = values.get(key, str(default)).lower()
        if word not in ("true", "false"):
            raise WeightsError(f"{name} has {key}: {word!r}, which is neither true nor false.")
        return word == "true"

    audio, motion = values.get("audio_type", "hubert"), values.get("motion_type", "exp")
    if audio != "hubert" or flag("use_adapters", False):
        kind = f"audio_type {audio!r}" if audio != "hubert" else "use_adapters"
        raise WeightsError(
            f"{name} is of a model with {kind}, which is not supported.",
            "Use the published checkpoint.",
        )
    if motion not in _OUTPUTS:
        raise WeightsError(
            f"{name} is of a model with motion_type {motion!r}; exp and id_exp are supported."
        )
    return CheckpointFlags(
        pitch=flag("use_pitch", True),
        flow=flag("use_flow", True),
        mouth=flag("use_mouth_amp_embed", True),
        eyes=flag("use_eye_amp_embed", False),
        outputs=_OUTPUTS[motion],
    )
