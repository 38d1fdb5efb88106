"""Background of a source: in-painting behind the person, or another picture."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from thcli import media
from thcli.core.imaging import scale_to_cover
from thcli.core.options import RenderOptions
from thcli.core.types import AnyArray, Image

MARGIN = 10.0  # pixels around the person that the background is not taken from
KEEP = "keep"

Bools = npt.NDArray[np.bool_]


def copy_nearest(values: AnyArray, known: Bools) -> AnyArray:
    """Replace unknown pixels by the nearest known one (Euclidean distance).

    Args:
        values: (H, W, ...) of any type.
        known: (H, W), with at least one known pixel.

    Returns:
        (H, W, ...) of the type of `values`.
    """
    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(values[rows, columns])


def inpaint_background(image: Image, background: Bools) -> Image:
    """Fill the person with the nearest pixels of the background.

    Pixels farther than MARGIN from the person are kept. In an image without any, all background
    pixels are; an image without a background becomes its median colour. Source: REAL3D_VIDEO
    section 9 (Real3D-Portrait, inference).

    Args:
        image: (H, W, 3) uint8.
        background: (H, W), True where the person is not.

    Returns:
        (H, W, 3) uint8.
    """
    if not background.any():
        return np.broadcast_to(np.median(image, (0, 1)).astype(np.uint8), image.shape).copy()
    if background.all():
        return image.copy()
    known = np.asarray(distance_transform_edt(background) > MARGIN)
    return np.asarray(copy_nearest(image, known if known.any() else background), np.uint8)


def replacement_background(options: RenderOptions, size: tuple[int, int]) -> Image | None:
    """Return the picture or colour of --background, (H, W, 3) uint8; None to keep the source's.

    A video is drawn behind the finished frames by the pipeline, as for every engine.

    Args:
        options: background and read.
        size: (width, height) of the source image in pixels.

    Raises:
        MediaError: the file cannot be read.
        UsageError: it is neither a file nor a colour.
    """
    name = options.background
    if name == KEEP:
        return None
    if not os.path.exists(name):  # noqa: PTH110  # Path.exists raises for a name too long
        return np.full((size[1], size[0], 3), media.parse_background(name), np.uint8)
    if media.probe(name, options.read).kind != "image":
        return None
    return scale_to_cover(media.read_image(name, options=options.read), size)
