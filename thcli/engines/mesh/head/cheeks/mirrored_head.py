"""Head, hair, hat and neck of a person to be mirrored, without what is held beside them."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.sampling import box_mean, odd_size
from thcli.faces.parsing.classes import ACCESSORIES, HEAD, NECK, class_number
from thcli.faces.parsing.crops import Regions

KEPT = HEAD | NECK | ACCESSORIES | {class_number("hat")}
REACH = 0.03  # face heights around them that are kept too: strands of hair
SOFTNESS = 0.03  # face heights, of the edge
BELOW = (-0.7, -0.3)  # face heights above the middle of the face: the body, all of the head


def keep_head(person: Image, mesh: Array, regions: Regions) -> None:
    """Make what is neither head nor neck transparent, in place, down to the chin.

    A hand or a thing beside the face is the person's as well for the matte. Mirrored, it would be
    there twice.

    Args:
        person: (H, W, 4) uint8 premultiplied.
        mesh: (468, 3) of the face, in its pixels.
        regions: of the face, down to the shoulders. Outside of their crop, what they say at its
            border goes on.
    """
    height, width = person.shape[:2]
    crop_from_frame = regions.placement.crop_from_frame
    face_size = anatomy.face_height(mesh)
    scale = float(np.hypot(*crop_from_frame[:2, 0]))  # pixels of the crop per pixel
    kept = regions.mask(KEPT)
    reach = odd_size(2 * REACH * face_size * scale)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    grown = np.asarray(cv2.dilate(kept, disc), np.float32)
    kept = box_mean(grown, odd_size(2 * SOFTNESS * face_size * scale))
    shown = cv2.warpAffine(
        kept,
        crop_from_frame[:2],
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    upper = np.asarray(smoothstep(*BELOW, height_above_middle(mesh, columns, rows)), np.float32)
    shown = np.maximum(shown, 1 - upper)
    left_out = (shown < 1) & (person[..., 3] > 0)
    person[left_out] = np.rint(person[left_out] * shown[left_out][:, None])


def height_above_middle(mesh: Array, x: Array32, y: Array32) -> Array:
    """Return how far pixels lie above the middle of a face, in face heights, (rows, columns).

    Args:
        mesh: (468, 3) of the face.
        x, y: (columns,) and (rows,) of the pixels.
    """
    middle = (mesh[anatomy.FOREHEAD, :2] + mesh[anatomy.CHIN, :2]) / 2
    up = (mesh[anatomy.FOREHEAD, :2] - mesh[anatomy.CHIN, :2]) / anatomy.face_height(mesh) ** 2
    return np.asarray((x - middle[0]) * up[0] + ((y - middle[1]) * up[1])[:, None])
