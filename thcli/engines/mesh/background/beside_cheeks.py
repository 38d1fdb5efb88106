"""Background beside the cheeks that the person network takes for the person.

Shadows on a wall, dark backdrops and logos beside an ear or a jaw have probabilities of a half and
more. The parser, which knows heads, sees background there. What moved with the head would be debris
in the air below an ear.
"""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.sampling import sample_crop, to_samples
from thcli.faces.parsing.classes import class_number
from thcli.faces.parsing.crops import Regions

# Probability of the background from which the parser is sure of it, and of the person from which
# the network is: hands are background to a parser of faces
SURE, CERTAIN = (0.7, 0.92), (0.8, 0.97)
# Face heights from the middle of forehead and chin to the sides, within which the parser sees
# well; above that and below, where hair, which it does not see to its last strand, and clothes are
BESIDE, ABOVE, BELOW = (0.75, 0.9), (0.15, 0.3), (0.45, 0.6)


def person_share(likely: Array32, mesh: Array, regions: Regions, step: int) -> Array32:
    """Return how far what a network takes for a person is one, (h, w) float32 in 0..1.

    Args:
        likely: (h, w) probability of a person, `step` source pixels per sample.
        mesh: (468, 3) pixels.
        regions: of the face.
        step: see `likely`.
    """
    height, width = likely.shape
    background = regions.mask_in(sample_crop((width, height), step), {class_number("background")})
    points = to_samples(mesh[[anatomy.FOREHEAD, anatomy.CHIN], :2], step)
    size, middle = anatomy.face_height(mesh) / step, points.mean(0)
    down = (points[1] - points[0]) / size**2
    x = (np.arange(width) - middle[0]).astype(np.float32)
    y = (np.arange(height)[:, None] - middle[1]).astype(np.float32)
    across, below = np.abs(x * down[1] - y * down[0]), x * down[0] + y * down[1]
    beside = (1 - smoothstep(*BESIDE, across)) * (1 - smoothstep(*ABOVE, -below))
    beside *= (1 - smoothstep(*BELOW, below)) * smoothstep(*SURE, background)
    return np.asarray(1 - beside * (1 - smoothstep(*CERTAIN, likely)), np.float32)
