"""OpenAI's CLIP, where the package open_clip and its weights are: any words at all.

The network and the tokeniser are open_clip's, the weights OpenAI's own file, read without running what it brings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from thcli.core.device import resolve
from thcli.core.errors import UsageError, WeightsError
from thcli.core.options import RunOptions
from thcli.faces.adapters.common import file_of
from thcli.weights.tensors import load_tensors, require_keys

SIDE = 224
# Of CLIP's training pictures (openai/CLIP: clip/clip.py).
MEAN, SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# Numbers that OpenAI's archive keeps beside the weights.
BESIDE = ("input_resolution", "context_length", "vocab_size")


class OfficialTextImage:
    """See `editors.shared.text_image.TextImage`."""

    templates = (
        "{}",
        "a photo of {}.",
        "a close-up photo of {}.",
        "a bright photo of {}.",
        "a cropped photo of {}.",
        "a blurry photo of {}.",
        "a portrait of {}.",
    )

    def __init__(self, name: str, network: Any, tokenise: Any, device: torch.device) -> None:
        self.name, self._network, self._tokenise, self._device = name, network, tokenise, device
        self._mean, self._spread = (
            torch.tensor(v, device=device).reshape(1, 3, 1, 1) for v in (MEAN, SPREAD)
        )

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """(N, 512)."""
        with torch.no_grad():
            return functional.normalize(
                self._network.encode_text(self._tokenise(list(texts)).to(self._device)).float(),
                dim=1,
            )

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(B, 512); pictures come to 224 x 224 by bicubic interpolation without smoothing, as DVA's program has it."""
        x = functional.interpolate(pictures, (SIDE, SIDE), mode="bicubic", align_corners=False)
        return functional.normalize(
            self._network.encode_image((x - self._mean) / self._spread).float(), dim=1
        )


def load_b32(run: RunOptions) -> OfficialTextImage:
    """ViT-B/32. Raises UsageError without open_clip, WeightsError without the weights (the hint is the command that gets them)."""
    return _loaded("clip-b32", "clip-vit-b32", "ViT-B-32-quickgelu", run)


def load_b16(run: RunOptions) -> OfficialTextImage:
    """ViT-B/16, which DVA was published with. Raises as `load_b32` does."""
    return _loaded("clip-b16", "clip-vit-b16", "ViT-B-16-quickgelu", run)


def _loaded(name: str, entry: str, model: str, run: RunOptions) -> OfficialTextImage:
    try:
        import open_clip
    except ModuleNotFoundError as exc:
        raise UsageError(
            f"{name} needs the package open_clip_torch.",
            f"pip install 'thcli[clip]', then 'thcli weights pull {entry}'; or --text-model clip-s.",
        ) from exc
    file_of(entry, run.licence)
    device = resolve(run.device)
    network = open_clip.create_model(model, pretrained=None, precision="fp32", device="cpu")
    return made(
        name,
        network,
        open_clip.get_tokenizer(model),
        load_tensors(entry, offline=run.offline),
        device,
    )


def made(
    name: str, network: Any, tokenise: Any, tensors: dict[str, Tensor], device: torch.device
) -> OfficialTextImage:
    """open_clip's network with OpenAI's tensors. Raises WeightsError when they are not its own."""
    own = {key: value.float() for key, value in tensors.items() if key not in BESIDE}
    require_keys(own, network.state_dict(), name, ignore=("attn_mask",))
    try:
        network.load_state_dict(own, strict=False)
    except RuntimeError as exc:
        raise WeightsError(
            f"The weights of {name} do not fit open_clip's network.", "Update open_clip_torch."
        ) from exc
    network.to(device).eval().requires_grad_(False)
    return OfficialTextImage(name, network, tokenise, device)
