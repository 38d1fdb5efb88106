"""Background beside the cheeks that the person network takes for the person.

Shadows on a wall, dark backdrops and logos beside an ear or a jaw have probabilities of a half and
more. The parser, which knows heads, sees background there. What moved with the head would be debris
in the air below an ear.
"""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh.background.hair import measure_from_middle
from thcli.engines.mesh.sampling import sample_crop
from thcli.faces.parsing.classes import class_number
from thcli.faces.parsing.crops import Regions

# Probability of the background from which the parser is sure of it, and of the person from which
# the network is: hands are background to a parser of faces
SURE, CERTAIN = (0.7, 0.92), (0.8, 0.97)
# Face heights from the middle of forehead and chin to the sides, within which the parser sees
# well; above that and below, where hair, which it does not see to its last strand, and clothes are
BESIDE, ABOVE, BELOW = (0.75, 0.9), (0.15, 0.3), (0.45, 0.6)


def person_share(likely: Array32, oval: Array, regions: Regions, step: int) -> Array32:
    """Return how far what a network takes for a person is one, (h, w) float32 in 0..1.

    Args:
        likely: (h, w) probability of a person, `step` source pixels per sample.
        oval: (36, 2) the face's oval in samples.
        regions: of the face.
        step: see `likely`.
    """
    height, width = likely.shape
    background = regions.mask_in(sample_crop((width, height), step), {class_number("background")})
    above, across = measure_from_middle(likely.shape, oval)
    beside = (1 - smoothstep(*BESIDE, across)) * (1 - smoothstep(*ABOVE, above))
    beside *= (1 - smoothstep(*BELOW, -above)) * smoothstep(*SURE, background)
    return np.asarray(1 - beside * (1 - smoothstep(*CERTAIN, likely)), np.float32)
