"""dh-s: Diffused Heads made small enough to be trained, and to paint, on a CPU.

The plan is the paper's: an ADM U-Net paints one frame from noise, given the identity frame, the two frames before and five embeddings
of the sound. What differs, because sixteen minutes of talk and an hour of CPU must do:

- what is diffused is the difference to the identity frame, in units of its usual size, and the network predicts that difference (x0):
  untrained it gives back the portrait, it need not learn to carry noise, and no drift can add up, since every frame begins at the
  portrait again;
- the embeddings are codes of the face (`articulation`), which a voice of motion says from the sound;
- the two frames before are an input as in the paper, but mostly the identity frame stands for them in training, and always in use: with
  the true ones so small a network copied their lips and did not listen, and its own slips then grew from frame to frame;
- training dwells on the noisiest steps, in which the code alone says what the lips do; few steps are sampled, and the code's effect
  is carried a little further than was learnt (guidance against lips that touch);
- 3x3 pixels become channels before the first convolution; one residual block a level; no learned variance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from thcli.diffusion.process import Prediction
from thcli.diffusion.schedule import Schedule, by_snr, cosine
from thcli.voices.diffused_heads.articulation import WIDTH
from thcli.voices.diffused_heads.network import Shape

SHAPE = Shape(
    size=96,
    width=48,
    times=(1, 2, 3),
    blocks=1,
    attention=(4,),
    head=32,
    heard=WIDTH,
    variance=False,
    patch=3,
    dropout=0.0,
    steep=False,
)
PREDICTS: Prediction = "x0"
UNIT = 0.12  # root mean square of what differs between two frames of a clip, pictures in [-1, 1]
HELD = 0.0  # how much of what the frames before differed is shown to the network
MIDDLE, AXES = (0.5, 0.56), (0.33, 0.45)  # of the square: the face's ellipse
SOFT = 0.25  # of its half axes: how soft its rim is
STRESS = 2.0  # how far the code's effect is carried beyond what was learnt
NOISIEST, CLEANEST = (
    20.0,
    0.5,
)  # sigma / alpha of the first and last step that is sampled: the last gives the picture itself


def full_schedule() -> Schedule:
    """The thousand steps of training."""
    return cosine(1000)


def few_steps(steps: int) -> Schedule:
    """The steps that are sampled, at even distances of log SNR."""
    whole = full_schedule()
    return whole.respaced(by_snr(whole, steps, NOISIEST, CLEANEST))


def differing(pictures: Tensor, identity: Tensor) -> Tensor:
    """Pictures (B, 3 n, S, S) as what is diffused: their difference to the identity frame (B, 3, S, S), about 1 in size."""
    times = pictures.shape[1] // identity.shape[1]
    return (pictures - identity.repeat(1, times, 1, 1)) / UNIT


def painted(difference: Tensor, identity: Tensor) -> Tensor:
    """The inverse of `differing`, kept within [-1, 1]."""
    return (identity + UNIT * difference).clamp(-1, 1)


def face_mask(side: int) -> Tensor:
    """(1, 1, side, side) in 0..1: where a difference may show. What moves behind the head in the clips is no part of a portrait."""
    (x0, y0), (a, b) = MIDDLE, AXES
    along = (torch.arange(side) + 0.5) / side
    far = torch.hypot((along[None, :] - x0) / a, (along[:, None] - y0) / b)
    return ((1 - far) / SOFT + 0.5).clamp(0, 1)[None, None]
