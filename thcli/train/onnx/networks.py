"""Bundled networks of one plain forward pass, as ONNX graphs take and give them.

Each graph holds what its backend computes on tensors: alignment of crops, mirroring and fits of
priors stay with the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thcli.core.options import RemoverNetwork
from thcli.editors.atlas.removers.loading import split_tensors
from thcli.editors.atlas.removers.network import RemoverNet, create_networks
from thcli.editors.atlas.removers.parts import PARTS, REMOVABLE, PartName, part_places
from thcli.editors.shared.face_cnn import SIDE as ATTRIBUTE_SIDE
from thcli.engines.mesh.patches import inside, inside_painter
from thcli.engines.mesh.patches import painter as patches
from thcli.engines.mesh.patches.inputs import EYE_CHANNELS
from thcli.engines.mesh.patches.network import MOUTH_WIDTHS, PatchNet
from thcli.evaluate.metrics import attribute_scores
from thcli.faces.identity import network as identity
from thcli.faces.parsing import network as parsing
from thcli.faces.parsing.graph import SIDE as PARSE_SIDE
from thcli.voices.a2m.features import INPUT_COLUMNS
from thcli.voices.a2m.networks import CLOSURES, MouthNetwork
from thcli.voices.a2m.voice import build_network as build_mouth
from thcli.weights.loading import load_state

Tensors = dict[str, Tensor]
_CPU = torch.device("cpu")
_ROWS = 2  # of an example: an axis of 1 could be taken for a constant


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """A network and the description of its graph.

    network: in evaluation mode.  examples: inputs by name, of each size that differs; the first
    axis is the batch.  outputs: names.  free: input or output -> its axes of any size, by number.
    about: layout, unit and range of inputs and outputs.
    """

    network: nn.Module
    examples: tuple[Mapping[str, Tensor], ...]
    outputs: tuple[str, ...]
    free: Mapping[str, Mapping[int, str]]
    about: str

    def __post_init__(self) -> None:
        self.network.eval()


class RegionProbabilities(nn.Module):
    """Region probabilities in the size of the image, by parse-s."""

    def __init__(self, network: parsing.ParseNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return parsing.upsample_twice(self.network(images)).softmax(1)


class MouthMotion(nn.Module):
    """Rows of the mouth at temperature 0, and logits of its closures, by a2m."""

    def __init__(self, network: MouthNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        found = self.network(sound)
        rows = found[..., :-CLOSURES]
        return self.network.with_amplitude(rows, torch.zeros_like(rows), 0.0), found[
            ..., -CLOSURES:
        ]


class BareFace(nn.Module):
    """Bare face and mask of what covers it, by the network of removers-s for each condition."""

    def __init__(self, networks: Mapping[RemoverNetwork, RemoverNet]) -> None:
        super().__init__()
        self.worn, self.makeup = networks["worn"], networks["makeup"]

    def forward(
        self, texture: Tensor, prior: Tensor, weight: Tensor, condition: Tensor, place: Tensor
    ) -> tuple[Tensor, Tensor]:
        inputs = texture, prior, weight, condition, place
        worn, makeup = self.worn(*inputs), self.makeup(*inputs)
        is_makeup = condition[:, REMOVABLE.index("makeup"), None, None, None] > 0.5
        target = torch.where(is_makeup, makeup.target, worn.target)
        return target, torch.where(is_makeup, makeup.mask, worn.mask)


def _examples() -> torch.Generator:
    """Return the random numbers of a graph's examples, the same for each."""
    return torch.Generator().manual_seed(0)


def _batched(*names: str) -> dict[str, dict[int, str]]:
    return {name: {0: "batch"} for name in names}


def _of_images(network: nn.Module, side: int, output: str, about: str) -> OnnxGraph:
    """Return the graph of a network of square images in 0..1."""
    return OnnxGraph(
        network,
        ({"images": torch.rand(_ROWS, 3, side, side, generator=_examples())},),
        (output,),
        _batched("images", output),
        about,
    )


def _parse(tensors: Tensors, name: str) -> OnnxGraph:
    network = parsing.ParseNet()
    load_state(network, tensors, name, _CPU)
    return _of_images(
        RegionProbabilities(parsing.fold_batch_norm(network)),
        PARSE_SIDE,
        "probabilities",
        "images: (B, 3, 256, 256) RGB in 0..1, aligned as FFHQ. probabilities: (B, 19, 256, 256) "
        "of the classes of CelebAMask-HQ, whose sum is 1.",
    )


def _identity(tensors: Tensors, name: str) -> OnnxGraph:
    network = identity.IdentityNet()
    load_state(network, tensors, name, _CPU)
    return _of_images(
        identity.fold_batch_norm(network),
        identity.SIDE,
        "vectors",
        "images: (B, 3, 64, 64) RGB in 0..1, an ArcFace crop of 112 x 112 reduced by area means. "
        "vectors: (B, 512) of unit length; thcli adds those of a crop and its mirror image.",
    )


def _attributes(tensors: Tensors, name: str) -> OnnxGraph:
    network = attribute_scores.build_network()
    load_state(network, tensors, name, _CPU)
    return _of_images(
        network,
        ATTRIBUTE_SIDE,
        "logits",
        "images: (B, 3, 64, 64) RGB in 0..1, aligned as FFHQ. logits: (B, 40) of the attributes "
        "of CelebA in its order.",
    )


def _mouth(tensors: Tensors, name: str) -> OnnxGraph:
    free = {"sound": {0: "batch", 1: "rows"}}
    half = {0: "batch", 1: "half_rows"}
    return OnnxGraph(
        MouthMotion(build_mouth(tensors, name)),
        tuple(
            {"sound": torch.rand(_ROWS, rows, INPUT_COLUMNS, generator=_examples())}
            for rows in (200, 64)
        ),
        ("motion", "closures"),
        {**free, "motion": half, "closures": half},
        f"sound: (B, T, {INPUT_COLUMNS}) rows of thcli.voices.a2m.features.speech_inputs, 100 a "
        "second, T even. motion: (B, T / 2, 13) coefficients of the mouth's shapes and its "
        "opening, 50 a second. closures: (B, T / 2, 2) logits of shut lips, and of the lower lip "
        "at the teeth.",
    )


def _patches(tensors: Tensors, name: str) -> OnnxGraph:
    about = "B, 12, H, W), H and W multiples of 8, channels of thcli.engines.mesh.patches.inputs"
    return _painted(tensors, name, PatchNet(EYE_CHANNELS), patches.PREFIX, about)


def _mouths(tensors: Tensors, name: str) -> OnnxGraph:
    about = "B, 4, H, W), H and W multiples of 8, channels of thcli.engines.mesh.patches.inside"
    network = PatchNet(inside.CHANNELS, widths=MOUTH_WIDTHS)
    return _painted(tensors, name, network, inside_painter.PREFIX, about)


def _painted(tensors: Tensors, name: str, network: PatchNet, prefix: str, about: str) -> OnnxGraph:
    """Return the graph of a network that paints patches. about: the shape of its input."""
    own = {k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)}
    load_state(network, own, name, _CPU)
    random = _examples()
    channels = network.stem.in_channels // 4
    axes = {0: "batch", 2: "height", 3: "width"}
    examples = (
        {"patches": torch.rand(_ROWS, channels, *size, generator=random)}
        for size in ((48, 64), (32, 40))
    )
    return OnnxGraph(
        network,
        tuple(examples),
        ("change",),
        {"patches": axes, "change": axes},
        f"patches: ({about}. change: (B, 3, H, W), added to the first three channels.",
    )


def _removers(tensors: Tensors, name: str) -> OnnxGraph:
    own, _ = split_tensors(tensors, name)
    networks = create_networks()
    for which, network in networks.items():
        load_state(network, own[which], name, _CPU)
    examples = tuple(_part_of_a_face(name) for name in PARTS)
    names = (*examples[0], "target", "mask")
    axes = {0: "batch", 2: "height", 3: "width"}
    return OnnxGraph(
        BareFace(networks),
        examples,
        ("target", "mask"),
        {name: {0: "batch"} if name == "condition" else axes for name in names},
        "texture, prior: (B, 3, H, W) soft logarithms of eyes (40 x 88) or lower face (56 x 96) in "
        "the atlas, and of the bare face by the prior. weight: (B, 1, H, W) visibility. condition: "
        f"(B, {len(REMOVABLE)}) of {', '.join(REMOVABLE)}. place: (B, 2, H, W) atlas positions. "
        "target: (B, 3, H, W) the bare face. mask: (B, 1, H, W) where it replaces the texture.",
    )


def _part_of_a_face(name: PartName) -> dict[str, Tensor]:
    """Return inputs of the remover in the size of a part."""
    place = torch.from_numpy(part_places(name))[None, :, ::2, ::2].repeat(_ROWS, 1, 1, 1)
    size = place.shape[-2:]
    random = _examples()
    texture = torch.rand(_ROWS, 3, *size, generator=random) - 1
    return {
        "texture": texture,
        "prior": texture + 0.1,
        "weight": torch.rand(_ROWS, 1, *size, generator=random),
        "condition": torch.eye(len(REMOVABLE))[:_ROWS],
        "place": place.contiguous(),
    }


GRAPHS: Mapping[str, Callable[[Tensors, str], OnnxGraph]] = {
    "parse-s": _parse,
    "identity-s": _identity,
    "attributes-judge": _attributes,
    "a2m-s": _mouth,
    "a2m-s-free": _mouth,
    "patches-s": _patches,
    "mouths-s": _mouths,
    "removers-s": _removers,
}
"""Weights -> builder of the graph from their tensors and their name."""

_SAMPLED = "its network is called several times by a sampler with noise of its own"
_NO_NETWORK = "they are arrays of a statistical model, not a network"
REASONS: Mapping[str, str] = {
    "fadm-s": _SAMPLED,
    "resshift-s": _SAMPLED,
    "dva-s": _SAMPLED,
    "dh-s": _SAMPLED,
    "clip-s": "its two encoders mean something only with the vocabulary and templates of thcli",
    "pfd-s": "it measures results by its features; export parse-s, which has its layout",
    "atlas-s": _NO_NETWORK,
    "atlas-free": _NO_NETWORK,
    "phones-en": _NO_NETWORK,
    "dva-s-attributes": _NO_NETWORK,
}
"""Bundled weights without a graph -> the reason."""
