"""Text edits by optimising one frame's identity with Adam (Kim et al. 2023, sec. 3.3).

The loss is CLIP's directional loss on pairs of images. Further terms keep the identity near its
start and the pixels of the face near theirs. The result is a step in identity space: added to a
clip's identity it edits every frame alike.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thcli.core.events import Finished, Listener, Started, Step, silent
from thcli.core.options import TextOptions
from thcli.core.types import Array32, Face, Image
from thcli.editors.dva import text_losses
from thcli.editors.shared.text_image import TextImageModel
from thcli.editors.shared.trajectory import Mask, SteerableEditor


@dataclass(frozen=True, slots=True)
class EditFrame:
    """Frame that a text edit is learnt on.

    crop: (crop_size, crop_size, 3).
    face: in the crop's pixels.
    mask: (crop_size, crop_size), 255 on the face; None for the editor's own.
    """

    crop: Image
    face: Face
    mask: Mask | None = None


def learn_step(
    editor: SteerableEditor,
    frame: EditFrame,
    source: str,
    target: str,
    model: TextImageModel,
    options: TextOptions,
    on: Listener = silent,
) -> Array32:
    """Learn the step (I,) from a frame's identity to one that shows `target` in place of `source`.

    The result is deterministic.

    Args:
        editor: editor whose identities are moved.
        frame: one frame of the clip.
        source, target: texts.
        model: joint embedding of texts and images.
        options: iterations and weights of the loss.
        on: receives progress events.

    Raises:
        UsageError: for words that the model does not know.
        DeviceError: when the device fails.
    """
    began = time.perf_counter()
    on(Started("words", options.iterations, "updates"))
    with torch.inference_mode(False):
        trajectory = editor.trajectory(frame.crop, frame.face, frame.mask, options.steps)
        text_features = [
            model.encode_text([template.format(text) for template in model.templates])
            for text in (source, target)
        ]
        direction = text_losses.text_direction(*text_features)
        with torch.no_grad():
            image_features = model.encode_image(to_unit_range(trajectory.images))
        start = trajectory.identity.detach()
        # Divided by the number of parts, so that the identity loss is 0 at the start.
        reference = normalize_parts(start, editor.part_lengths) / len(editor.part_lengths)
        moved = start.clone().requires_grad_(True)
        optimiser = torch.optim.Adam([moved], options.lr)
        for done in range(options.iterations):
            identity = normalize_parts(moved, editor.part_lengths)
            images = trajectory.render(identity)
            features = model.encode_image(to_unit_range(images))
            distance = text_losses.directional_distance(image_features, features, direction)
            text_loss = text_losses.clip_loss(distance)
            identity_loss = text_losses.identity_loss(identity, reference)
            pixel_loss = text_losses.pixel_loss(trajectory.images, images, trajectory.mask)
            loss = (
                options.words_weight * text_loss
                + options.identity_weight * identity_loss
                + options.pixels_weight * pixel_loss
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            optimiser.step()
            on(Step("words", done + 1))
    on(Finished("words", options.iterations, time.perf_counter() - began))
    return np.asarray((moved - start).detach()[0].cpu().numpy(), np.float32)


def apply_step(
    identity: Array32, step: Array32, scale: float, part_lengths: Sequence[int]
) -> Array32:
    """Return a clip's identity (I,) moved by `scale` times a learnt step (I,).

    Its parts have unit length.
    """
    moved = torch.from_numpy(np.asarray(identity + scale * step, np.float32))[None]
    return np.asarray(normalize_parts(moved, part_lengths)[0].numpy(), np.float32)


def normalize_parts(identity: Tensor, part_lengths: Sequence[int]) -> Tensor:
    """Return identities (B, I) with each part, of the given lengths, scaled to unit norm."""
    return torch.cat(
        [
            part / part.norm(dim=1, keepdim=True)
            for part in torch.split(identity, list(part_lengths), 1)
        ],
        1,
    )


def to_unit_range(images: Tensor) -> Tensor:
    """Map -1..1 to 0..1 without clipping, so that gradients pass."""
    return (images + 1) / 2
