"""Painting of a drawn inside of a mouth by the network of mouths-s."""

from __future__ import annotations

from typing import Literal

from thcli.core.onnx.graphs import GraphNetwork
from thcli.core.types import Array, Image
from thcli.engines.mesh.mouth.drawn_inside import DrawnShare, MouthInterior
from thcli.engines.mesh.patches import inputs, inside
from thcli.engines.mesh.patches.frames import composite, sample_patch
from thcli.engines.mesh.patches.graph import change_colours, load_network
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state

NAME, PREFIX = "mouths-s", "mouth."


class InsidePainter:
    """The network. Threads may share it; a frame's result depends on that frame alone."""

    def __init__(self, network: GraphNetwork) -> None:
        self._network = network

    def paint(self, out: Image, target: Array, interior: MouthInterior, drawn: DrawnShare) -> None:
        """Paint what is drawn between the lips of a rendered frame, in place.

        Line drawings keep what is drawn.

        Args:
            out: (H, W, 3) uint8 frame.
            target: (468, 3) target mesh, pixels.
            interior: the source's mouth.
            drawn: where the inside is drawn.
        """
        if interior.tone.mean() > inside.PAPER:
            return
        frame = inside.inside_frame(target, drawn.lips)
        mask = inside.mask_patch(drawn.lips, frame)
        coarse = sample_patch(out, frame)
        given = inside.stack(coarse, mask, inputs.gain(interior.tone))
        change = change_colours(
            self._network, given[None], inside.MOST_CHANGE, interior.tone, interior.natural
        )[0]
        change = inside.keep_enamel(coarse, change, interior.tone)
        shown = mask * inside.share_patch(drawn, frame)
        composite(out, frame, coarse, change * shown[..., None])


def load(licence: Literal["any", "free"]) -> InsidePainter:
    """Load the network.

    Raises:
        WeightsError: the weights are absent, damaged or refused by the licence.
    """
    return InsidePainter(load_network(NAME, PREFIX, inside.CHANNELS, licence))


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless the tensors are those of the network."""
    import torch

    from thcli.engines.mesh.patches.network import MOUTH_WIDTHS, PatchNet

    network = PatchNet(inside.CHANNELS, widths=MOUTH_WIDTHS)
    load_state(network, checkpoint.tensors(PREFIX), NAME, torch.device("meta"))
