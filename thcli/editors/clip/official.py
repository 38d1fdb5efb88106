"""OpenAI's CLIP, where the package open_clip and the weights are installed: any text.

Network and tokeniser are open_clip's. The weights are OpenAI's own file, read without executing the
code in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from thcli.core.device import resolve_device
from thcli.core.errors import UsageError, WeightsError
from thcli.core.options import RunOptions
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import weights_path
from thcli.weights.tensors import load_tensors, require_keys

SIDE = 224
# Of CLIP's training images (openai/CLIP: clip/clip.py).
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# One of OpenAI's 80 templates for ImageNet, of which DVA was published with the 79 others.
PLURAL = "a photo of many {}."
# Entries of OpenAI's archive that are no weights.
NON_WEIGHT_KEYS = ("input_resolution", "context_length", "vocab_size")


class OpenAiClipModel:
    """Adapter of CLIP to `editors.shared.text_image.TextImageModel`."""

    def __init__(
        self,
        name: str,
        network: Any,
        tokenise: Any,
        templates: Sequence[str],
        device: torch.device,
    ) -> None:
        self.name, self.templates = name, tuple(templates)
        self._network, self._tokenise, self._device = network, tokenise, device
        self._mean, self._std = (
            torch.tensor(v, device=device).reshape(1, 3, 1, 1) for v in (MEAN, STD)
        )

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Return (N, 512)."""
        with torch.no_grad():
            tokens = self._tokenise(list(texts)).to(self._device)
            return functional.normalize(self._network.encode_text(tokens).float(), dim=1)

    def encode_image(self, images: Tensor) -> Tensor:
        """Return (B, 512) of images (B, 3, H, W) RGB in 0..1.

        Images are resized to 224 x 224 by bicubic interpolation without antialiasing, as in DVA's
        program.
        """
        x = functional.interpolate(images, (SIDE, SIDE), mode="bicubic", align_corners=False)
        rows = self._network.encode_image((x - self._mean) / self._std)
        return functional.normalize(rows.float(), dim=1)


def load_b32(run: RunOptions) -> OpenAiClipModel:
    """Load ViT-B/32.

    Raises:
        UsageError: without open_clip.
        WeightsError: without the weights; the hint is the command that fetches them.
    """
    return _load("clip-b32", "clip-vit-b32", "ViT-B-32-quickgelu", run)


def load_b16(run: RunOptions) -> OpenAiClipModel:
    """Load ViT-B/16, which DVA was published with. Raises as `load_b32`."""
    return _load("clip-b16", "clip-vit-b16", "ViT-B-16-quickgelu", run)


def _load(name: str, entry: str, model: str, run: RunOptions) -> OpenAiClipModel:
    try:
        import open_clip
    except ModuleNotFoundError as exc:
        raise UsageError(
            f"{name} needs the package open_clip_torch.",
            f"pip install 'thcli[clip]', then 'thcli weights pull {entry}'; "
            "or --text-model clip-s.",
        ) from exc
    weights_path(entry, run.licence)
    device = resolve_device(run.device)
    network = open_clip.create_model(model, pretrained=None, precision="fp32", device="cpu")
    tokenise, tensors = open_clip.get_tokenizer(model), load_tensors(entry, offline=run.offline)
    every = (template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)
    templates = [template for template in every if template != PLURAL]
    return build(name, network, tokenise, templates, tensors, device)


def build(
    name: str,
    network: Any,
    tokenise: Any,
    templates: Sequence[str],
    tensors: dict[str, Tensor],
    device: torch.device,
) -> OpenAiClipModel:
    """Fill open_clip's network with OpenAI's tensors.

    Args:
        name: of the backend.
        network: open_clip's.
        tokenise: texts to ids (N, 77).
        templates: sentences with {} for a text.
        tensors: OpenAI's.
        device: of the network.

    Raises:
        WeightsError: the tensors are others.
    """
    own = {key: value.float() for key, value in tensors.items() if key not in NON_WEIGHT_KEYS}
    require_keys(own, network.state_dict(), name, ignore=("attn_mask",))
    try:
        network.load_state_dict(own, strict=False)
    except RuntimeError as exc:
        raise WeightsError(
            f"The weights of {name} do not fit open_clip's network.", "Update open_clip_torch."
        ) from exc
    network.to(device).eval().requires_grad_(False)
    return OpenAiClipModel(name, network, tokenise, templates, device)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the ends of CLIP's two towers.

    The layers between them are compared when open_clip's network is filled.
    """
    patch = 32 if checkpoint.name == "clip-vit-b32" else 16
    wanted = {
        "visual.conv1.weight": torch.empty(768, 3, patch, patch),
        "visual.proj": torch.empty(768, 512),
        "token_embedding.weight": torch.empty(49408, 512),
        "positional_embedding": torch.empty(77, 512),
        "text_projection": torch.empty(512, 512),
        "logit_scale": torch.empty(()),
    }
    found = checkpoint.tensors()
    require_keys({k: v for k, v in found.items() if k in wanted}, wanted, checkpoint.name)
