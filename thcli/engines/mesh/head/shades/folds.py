"""Folds and shading of a smile, which the texture of a still face lacks.

A field of log brightness over the face was learned from persons who were photographed twice, with
a neutral and a smiling face (Face Research Lab London Set, CC BY 4.0; tools/make_folds.py). It is
scaled by how much more the target smiles than the source. It is smooth, the same for all persons,
and a function of the target's shape alone, so that it does not flicker. The lines that brows draw
(`brow_lines`) are added; they depend on the source's own skin, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import cv2
import numpy as np

from thcli.core.geometry import bounding_box, transform_points
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import raster
from thcli.engines.mesh.anatomy import TRIANGLES
from thcli.engines.mesh.background.windows import iterate_windows
from thcli.engines.mesh.head.shades import lines_of_skin, own_folds
from thcli.engines.mesh.head.shades.brow_lines import BrowLines
from thcli.engines.mesh.head.shades.corner_shades import CornerShades
from thcli.engines.mesh.head.shades.own_folds import OwnFolds, Shade
from thcli.engines.mesh.sampling import box_mean, pair, remap
from thcli.engines.mesh.warp import WarpMap
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks import topology
from thcli.motion import canonical, smiles

FADE_RANGE = (0.2, 0.6)  # change of the smile over the mean one between which the folds fade in
GAIN_UNIT = 200  # 8-bit factor that stands for 1
LEAST_GAIN = 0.5 / GAIN_UNIT  # above which that is another one
MAX_AMOUNT = 1.8  # mean smiles: laughs have up to 2.7
GONE = 0.75  # share of the own smile with which all of its folds have gone
DARK_RANGE = (0.35, 0.65)  # brightness over the skin's between which beards and shadows fade out
BRIGHT_RANGE = (215.0, 250.0)  # brightness between which they fade: white skin would turn grey
BARE_SKIN = (50, 280, 101, 330, 36, 266, 9, 151)  # mesh points of cheeks and forehead
SKIN = [*BARE_SKIN, *topology.CHEEKS, *topology.NOSE]
# Log of the brightness of red, green and blue that goes with a change of their mean by 1: skin that
# darkens reddens. From 60 pairs of the London set; darker folds alone .85, 1.06, 1.09
SKIN_CHANGE = (0.856, 1.043, 1.101)
# Median of the log brightness of bare skin, cheeks and nose off an even shade, from a drawing in
# plain colours to a photograph: on plain colours folds would be smears
RELIEF_RANGE = (0.018, 0.03)
# The same without dark lines, of which drawings are made: in pictures in colours, and in grey ones
PAPER_RANGE, GREY_PAPER_RANGE = (0.008, 0.012), (0.021, 0.026)
PAPER_SIDE, PAPER_LINE = 128, 9  # pixels: crop in which that is measured, widest line
LEAST_LEVEL = 6.0  # brightness added before the logarithm


@dataclass(frozen=True, slots=True)
class SmileFolds:
    """The learned field.

    field: (N, N) float32, log brightness that a mean smile adds.  places: (468, 2) its pixels at
    the mesh points.  smile: (468, 3) mean displacement in canonical units.
    """

    field: Array32
    places: Array
    smile: Array

    def amount(self, shape: Array) -> float:
        """Return how much a canonical shape smiles: 1 as the mean smile, 0 as the mean face."""
        change = shape - canonical.neutral()
        return float((change * self.smile).sum() / (self.smile**2).sum())


@dataclass(frozen=True, slots=True)
class SourceFolds:
    """Folds of a source.

    own: its smile.  shown: (468,) how far folds show at the mesh points, and skin: how far they are
    shaded skin at all, dark or light.  lines: of its brows.
    change: (3,) of the log brightness of its channels, over that of their mean.
    smiling: folds that its own smile draws; None without any.
    """

    learned: SmileFolds
    own: float
    shown: Array
    skin: Array
    lines: BrowLines | None
    change: Array
    smiling: OwnFolds | None = None


@cache
def load() -> SmileFolds:
    """Load the field."""
    from safetensors.numpy import load as read

    table = read(files("thcli.motion").joinpath("data/folds.safetensors").read_bytes())
    field = np.asarray(table["field"], np.float32)
    return SmileFolds(field, table["places"].astype(np.float64), table["smile"].astype(np.float64))


def prepare(
    image: Image,
    mesh: Array,
    lines: BrowLines | None,
    natural: float,
    no_skin: Array | None = None,
    corners: CornerShades | None = None,
    *,
    evens: bool = True,
) -> SourceFolds:
    """Prepare a source.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        lines: that its brows draw, or None.
        natural: 0..1, see `colours.natural_colour`.
        no_skin: (468,) how far a point shows something else; None where nothing covers the face.
        corners: of its mouth, which are evened before its folds are.
        evens: folds of its own smile go as that relaxes. Frames of a video would differ in it.
    """
    learned = load()
    colours = remap(image, mesh[None, :, :2].astype(np.float32))[0].astype(np.float64)
    brightness = colours.mean(-1)
    level = float(np.median(brightness[list(BARE_SKIN)]))  # where no beard grows
    shape = canonical.decompose(mesh).shape
    own = learned.amount(shape)
    shown = smoothstep(*DARK_RANGE, brightness / max(level, 1.0))
    shown *= 1 - smoothstep(*BRIGHT_RANGE, brightness)
    relief = float(smoothstep(*RELIEF_RANGE, _relief(brightness)))
    low, high = np.array(GREY_PAPER_RANGE) + natural * np.subtract(PAPER_RANGE, GREY_PAPER_RANGE)
    relief *= float(smoothstep(low, high, _relief(_without_lines(image, mesh))))
    skin = np.full(len(mesh), relief) if no_skin is None else relief * (1 - no_skin)
    shown *= skin
    by_channel = 1 + natural * (np.array(SKIN_CHANGE) - 1)
    smiling = None
    if evens:
        relaxed = (-min(own, MAX_AMOUNT) * by_channel).astype(np.float32)
        shade = Shade(learned.field[..., None] * relaxed, learned.places, shown)
        evened = image if corners is None else corners.even(image)
        smiling = own_folds.prepare(evened, mesh, float(smiles.levels(shape)), skin, shade)
    drawn = lines if relief else None
    return SourceFolds(learned, own, shown, skin, drawn, by_channel, smiling)


def _relief(brightness: Array) -> float:
    """Return how far the skin at mesh points is off one even shade, a median of the log.

    Args:
        brightness: (468,) 0..255.
    """
    levels = np.log(brightness[SKIN] + LEAST_LEVEL)
    shade, fit = _even_shade()
    return float(np.median(np.abs(levels - shade @ (fit @ levels))))


def _without_lines(image: Image, mesh: Array) -> Array:
    """Return the brightness (468,) at a mesh (468, 3) of what lies behind dark lines, 0..255."""
    box = align.square(bounding_box(mesh[:, :2]), PAPER_SIDE)
    grey = np.asarray(crop(image, box).mean(-1), np.float32)
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (PAPER_LINE, PAPER_LINE))
    bare = np.asarray(cv2.morphologyEx(grey, cv2.MORPH_CLOSE, pen), np.float32)
    places = transform_points(box.crop_from_frame, mesh[:, :2])
    return np.asarray(remap(bare, places[None].astype(np.float32))[0], np.float64)


@cache
def _even_shade() -> tuple[Array, Array]:
    """Return what an even shade of N points of skin is made of, (N, 4), and its fit, (4, N)."""
    x, y = canonical.neutral()[SKIN, :2].T
    shade = np.stack([np.ones(len(SKIN)), x, y, np.abs(x)], 1)
    return shade, np.asarray(np.linalg.pinv(shade), np.float64)


@dataclass(frozen=True, slots=True)
class ShownFolds:
    """Folds of a source in a frame.

    source: the source's.  shape: (468, 3) canonical shape of the target, as if nothing held its
    skin.  change: mean smiles by which it smiles more than the source.
    """

    source: SourceFolds
    shape: Array
    change: float

    @property
    def relaxed(self) -> float:
        """Share of the source's own smile that is gone, 0..1."""
        if self.source.smiling is None:
            return 0.0
        gone = max(GONE * self.source.own, FADE_RANGE[1])
        return float(np.interp(-self.change, (FADE_RANGE[0], gone), (0, 1)))


def find(source: SourceFolds, shape: Array) -> ShownFolds:
    """Find the folds of a frame; shape: (468, 3) of the target, as in `ShownFolds`."""
    return ShownFolds(source, shape, source.learned.amount(shape) - source.own)


def render(out: Image, shown: ShownFolds, target: Array, warp_map: WarpMap) -> None:
    """Change the brightness of a frame by the target's folds, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        shown: from `find`.
        target: (468, 3) target mesh.
        warp_map: the frame's map.
    """
    source, change = shown.source, shown.change
    amount = float(np.clip(change, -MAX_AMOUNT, MAX_AMOUNT) * smoothstep(*FADE_RANGE, abs(change)))
    brows = None if source.lines is None else source.lines.shown(shown.shape, amount)
    if amount == 0 and brows is None:
        return
    if source.smiling is not None and amount < 0:  # first: what is brightened may be clipped
        own_folds.render(out, source.smiling, shown.relaxed, warp_map)
    columns = [source.learned.places, source.shown[:, None], lines_of_skin.places()]
    maps = raster.linear_maps(target, np.concatenate(columns, 1), TRIANGLES)
    samples = raster.sample_maps(warp_map.ids, maps, warp_map.face)
    gain = np.zeros(samples.shape[:2], np.float32)
    if amount != 0:
        smile = remap(source.learned.field, pair(samples))
        gain += box_mean(smile * (np.float32(amount) * samples[..., 2] * warp_map.mesh_weight), 3)
    if brows is not None:
        lines = remap(brows, pair(samples, 3))
        gain += lines * warp_map.mesh_weight
    size = out.shape[1], out.shape[0]
    factors = np.exp(gain)
    changes = (np.abs(factors - 1) > LEAST_GAIN).astype(np.float32)
    for region, factor in iterate_windows(factors, changes, warp_map.face, size):
        view = out[region]
        levels = [cv2.convertScaleAbs(cv2.pow(factor, by), alpha=GAIN_UNIT) for by in source.change]
        view[:] = cv2.multiply(view, cv2.merge(levels), scale=1 / GAIN_UNIT)
