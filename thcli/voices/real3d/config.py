"""What the published config.yaml says of its checkpoint: a few flags at its top level."""

from __future__ import annotations

import re

from thcli.core.errors import WeightsError
from thcli.voices.real3d.networks import Flags

_LINE = re.compile(r"^([a-z_0-9]+):[ \t]*([^#\n]*)", re.MULTILINE)
_OUTPUTS = {"exp": 64, "id_exp": 144}


def read_flags(text: str, where: str) -> Flags:
    """The flags of a config.yaml; what it does not say is as in the official one. Raises WeightsError for a kind that is not built here."""
    said: dict[str, str] = {key: value.strip().strip("'\"") for key, value in _LINE.findall(text)}

    def flag(key: str, default: bool) -> bool:
        word = said.get(key, str(default)).lower()
        if word not in ("true", "false"):
            raise WeightsError(f"{where} says {key}: {word!r}, which is neither true nor false.")
        return word == "true"

    audio, motion = said.get("audio_type", "hubert"), said.get("motion_type", "exp")
    if audio != "hubert" or flag("use_adapters", False):
        kind = f"audio_type {audio!r}" if audio != "hubert" else "use_adapters"
        raise WeightsError(
            f"{where} is of a model with {kind}, which is not supported.",
            "Take the published checkpoint.",
        )
    if motion not in _OUTPUTS:
        raise WeightsError(
            f"{where} is of a model with motion_type {motion!r}; exp and id_exp are supported."
        )
    return Flags(
        pitch=flag("use_pitch", True),
        flow=flag("use_flow", True),
        mouth=flag("use_mouth_amp_embed", True),
        eyes=flag("use_eye_amp_embed", False),
        outputs=_OUTPUTS[motion],
    )
