"""Configuration of dh-s: Diffused Heads small enough to train and to sample on a CPU.

The method is the paper's: an ADM U-Net samples one frame from noise, given the identity frame, the
two previous frames and five audio embeddings. Differences, because the data are sixteen minutes
of talk and the budget is an hour of CPU time:

- The network diffuses the difference to the identity frame, in units of its typical size, and
  predicts it directly (x0). Untrained it reproduces the portrait. Errors cannot accumulate, since
  every frame starts at the portrait.
- The embeddings are articulation codes (`articulation`) that a motion voice predicts from sound.
- The previous frames are inputs as in the paper, but the identity frame replaces them mostly in
  training and always in use. Given the true frames, a network of this size copied their lips and
  ignored the code, and its errors grew from frame to frame.
- Training favours the noisiest steps, in which the code alone determines the lips. Few steps are
  sampled, with guidance away from closed lips.
- Squares of 3x3 pixels become channels before the first convolution. A level has one residual
  block. The variance is not learned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from thcli.diffusion.process import Prediction
from thcli.diffusion.schedule import Schedule, cosine_schedule, steps_by_snr
from thcli.voices.diffused_heads.articulation import CODE_WIDTH
from thcli.voices.diffused_heads.network import DiffusedHeadsConfig

CONFIG = DiffusedHeadsConfig(
    size=96,
    base_channels=48,
    channel_multipliers=(1, 2, 3),
    blocks_per_level=1,
    attention_factors=(4,),
    head_channels=32,
    audio_width=CODE_WIDTH,
    learn_variance=False,
    patch=3,
    dropout=0.0,
    published_sinusoid=False,
)
PREDICTS: Prediction = "x0"
DIFFERENCE_SCALE = 0.12  # RMS difference of two frames of a clip, images in [-1, 1]
PREVIOUS_FRAME_WEIGHT = 0.0  # share of the previous frames' difference that is an input
FACE_CENTRE, FACE_AXES = (0.5, 0.56), (0.33, 0.45)  # ellipse of the face, shares of the square
MASK_SOFTNESS = 0.25  # width of the ellipse's soft rim over its half axes
GUIDANCE_SCALE = 2.0  # of the code against a neutral code
NOISIEST, CLEANEST = 20.0, 0.5  # sigma / alpha of the first and the last sampled step


def training_schedule() -> Schedule:
    """Return the 1000 steps of training."""
    return cosine_schedule(1000)


def sampling_schedule(steps: int) -> Schedule:
    """Return the sampled steps, at even distances of log SNR."""
    whole = training_schedule()
    return whole.respace(steps_by_snr(whole, steps, NOISIEST, CLEANEST))


def to_difference(images: Tensor, identity: Tensor) -> Tensor:
    """Return images (B, 3 n, S, S) as scaled differences to the identity frame (B, 3, S, S)."""
    count = images.shape[1] // identity.shape[1]
    return (images - identity.repeat(1, count, 1, 1)) / DIFFERENCE_SCALE


def from_difference(difference: Tensor, identity: Tensor) -> Tensor:
    """Invert `to_difference`, clamped to [-1, 1]."""
    return (identity + DIFFERENCE_SCALE * difference).clamp(-1, 1)


def face_mask(side: int) -> Tensor:
    """Return the weight of the difference, (1, 1, side, side) in 0..1.

    Background motion of the training clips is not part of a portrait.
    """
    (x0, y0), (a, b) = FACE_CENTRE, FACE_AXES
    position = (torch.arange(side) + 0.5) / side
    radius = torch.hypot((position[None, :] - x0) / a, (position[:, None] - y0) / b)
    return ((1 - radius) / MASK_SOFTNESS + 0.5).clamp(0, 1)[None, None]
