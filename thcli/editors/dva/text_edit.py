"""An identity moved by words (Kim et al. 2023, sec. 3.3): Adam on one frame's identity, so that what it changes is what the texts say.

The loss is CLIP's directional one on pairs of pictures, with the identity kept near its beginning and the pixels of the face near
theirs. What is learnt is a step in identity space: added to a clip's identity, it edits every frame alike.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thcli.core.events import Finished, Listener, Started, Step, silent
from thcli.core.options import TextOptions
from thcli.core.types import Array32, Face, Image
from thcli.editors.dva import text_losses
from thcli.editors.shared.text_image import TextImage
from thcli.editors.shared.trajectory import Mask, Steerable


def learn(
    editor: Steerable,
    crop: Image,
    face: Face,
    mask: Mask | None,
    source: str,
    target: str,
    model: TextImage,
    options: TextOptions,
    on: Listener = silent,
) -> Array32:
    """The step (I,) from a frame's identity to the one that shows `target` where it showed `source`.

    crop: (crop_size, crop_size, 3), one frame of the clip, with its face in its pixels.  mask: (crop_size, crop_size), 255 on the face,
    None for the editor's own.  Nothing is random.  Raises UsageError for words that the model does not know, DeviceError.
    """
    began = time.perf_counter()
    on(Started("words", options.iterations, "updates"))
    with torch.inference_mode(False):
        trail = editor.trail(crop, face, mask, options.steps)
        said = [
            model.encode_text([template.format(text) for template in model.templates])
            for text in (source, target)
        ]
        words = text_losses.text_direction(*said)
        with torch.no_grad():
            seen = model.encode_image(unit_range(trail.before))
        start = trail.start.detach()
        begun = parts_of_unit_length(start, editor.units)
        moved = start.clone().requires_grad_(True)
        optimiser = torch.optim.Adam([moved], options.lr)
        for done in range(options.iterations):
            identity = parts_of_unit_length(moved, editor.units)
            pictures = trail.after(identity)
            distance = text_losses.directional(
                seen, model.encode_image(unit_range(pictures)), words
            )
            loss = (
                options.words_weight * text_losses.clip_loss(distance)
                + options.identity_weight
                * text_losses.identity_loss(identity, begun / len(editor.units))
                + options.pixels_weight
                * text_losses.picture_loss(trail.before, pictures, trail.mask)
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            optimiser.step()
            on(Step("words", done + 1))
    on(Finished("words", options.iterations, time.perf_counter() - began))
    return np.asarray((moved - start).detach()[0].cpu().numpy(), np.float32)


def stepped(identity: Array32, step: Array32, scale: float, units: Sequence[int]) -> Array32:
    """A clip's identity (I,) moved by `scale` times a learnt step (I,), its parts of unit length."""
    moved = torch.from_numpy(np.asarray(identity + scale * step, np.float32))[None]
    return np.asarray(parts_of_unit_length(moved, units)[0].numpy(), np.float32)


def parts_of_unit_length(identity: Tensor, units: Sequence[int]) -> Tensor:
    """(B, I) with each of its parts, of these lengths, divided by its norm."""
    return torch.cat(
        [part / part.norm(dim=1, keepdim=True) for part in torch.split(identity, list(units), 1)], 1
    )


def unit_range(pictures: Tensor) -> Tensor:
    """-1..1 -> 0..1, not clipped: a gradient gets through."""
    return (pictures + 1) / 2
