"""FaceMesh with attention through LiteRT: 468 points, refined lips and eyelids, and both irises.

Grishchenko et al. 2020, "Attention Mesh", arXiv:2006.10962. The file holds three MediaPipe
operators that LiteRT lacks. The network is split around them, and they run here in numpy.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from thcli.core.geometry import bounding_box
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Face
from thcli.faces.landmarks.roi import SIDE, Pixels, Roi, crop_roi, roi_of_detection, roi_of_mesh
from thcli.faces.tflite import TfliteGraph, TfliteNetwork, read_model, require_tensors
from thcli.weights import locate
from thcli.weights.layout import Checkpoint

FEATURE_GRID = 48  # side of the feature map: a cell is four input pixels
PATCH = 16  # side of a refined region, in cells
CHANNELS = 32
REFINE_SCALES = (0.94, 1.0, 1.06)
REFINE_ANGLES = (-0.06, 0.0, 0.06)  # radians
# Photos have 20 to 32, paintings and statues 18 to 28, a head fitted upside down up to 18.
DOUBTFUL_LOGIT = 22.0
CLEAR_MARGIN = 3.0  # logit by which a rotated fit must be better
# Share of its side by which a region moves, grows or turns, from fit to fit, when it is stable;
# fits until then at most.
STABLE_REGION, MOST_FITS = 0.004, 8
# Sine by which a region turns, and ratio by which it grows or shrinks, when it tells how a head is
# turned; fits until then at most.
SAME_TURN, SAME_SIDE, MOST_COARSE_FITS = 0.2, 1.25, 5
FACE_LOGIT = 0.0  # sigmoid 0.5: below it, no face
MESH_INPUTS = ("input_1",)
MESH_OUTPUTS = ("output_mesh", "conv_faceflag", "p_re_lu_3")
REGION_INPUTS = (
    "transform_tensor_bilinear_v2",
    "transform_tensor_bilinear_v2_1",
    "transform_tensor_bilinear_v2_2",
)
# Lips, eye 33/133, its iris, eye 362/263, its iris.
REFINED_OUTPUTS = ("reshape_1", "reshape_3", "reshape_4", "reshape_6", "reshape_7")

KEYPOINT_PAIRS = np.array([[33, 362, 4, 13, 234, 454], [133, 263, 4, 14, 234, 454]], np.intp)
"""(2, 6): each keypoint of a `Face` is the mean of these two mesh points."""


class _RegionSampler:
    """Numpy part of the network: patches of the feature map under the lips and the eyes.

    Replaces the operators Landmarks2TransformMatrix, TransformTensorBilinear, TransformLandmarks.
    """

    def __init__(self, graph: TfliteGraph) -> None:
        options = [graph.custom_options(graph.producer_inputs(name)[1]) for name in REGION_INPUTS]
        self.subsets = [np.array(o["subset_idxs"], np.intp) for o in options]
        self._corners = np.array(
            [(o["left_rotation_idx"], o["right_rotation_idx"]) for o in options], np.intp
        )
        self._scale = np.array([(o["scale_x"], o["scale_y"]) for o in options], np.float32)
        centres = np.arange(PATCH, dtype=np.float32) + np.float32(0.5)
        # (2, 256) as x, y
        self._grid = np.stack([np.tile(centres, PATCH), np.repeat(centres, PATCH)])
        # The feature map with a border of zeros, which stands for outside.
        self._padded = np.zeros((FEATURE_GRID + 2, FEATURE_GRID + 2, CHANNELS), np.float32)

    def patch_transforms(self, mesh: Array32) -> tuple[Array32, Array32]:
        """Return the affine transforms from patches 0..16 to feature cells.

        mesh: (468, 2) in 0..192. Returns matrices (3, 2, 2) and shifts (3, 2).
        """
        q = mesh * np.float32(FEATURE_GRID / SIDE)
        d = q[self._corners[:, 1]] - q[self._corners[:, 0]]
        d /= np.hypot(d[:, 0], d[:, 1])[:, None]
        matrices, shifts = np.empty((3, 2, 2), np.float32), np.empty((3, 2), np.float32)
        for i, subset in enumerate(self.subsets):
            c, s = d[i]
            rotation = np.array([[c, -s], [s, c]], np.float32)
            rotated = q[subset] @ rotation
            low, high = rotated.min(0), rotated.max(0)
            matrices[i] = rotation * (self._scale[i] * (high - low) / PATCH)
            shifts[i] = rotation @ ((low + high) / 2) - matrices[i].sum(1) * (PATCH / 2)
        return matrices, shifts

    def sample_patches(self, features: Array32, matrices: Array32, shifts: Array32) -> Array32:
        """Sample features (48, 48, 32) to (3, 16, 16, 32), bilinear, zero outside."""
        self._padded[1:-1, 1:-1] = features
        # In the padded map, at pixel centres.
        at = matrices @ self._grid + (shifts[:, :, None] + np.float32(0.5))
        np.clip(at, 0, FEATURE_GRID + 1 - 1e-3, out=at)
        cell = at.astype(np.int32)
        fraction = (at - cell).astype(np.float32)
        fx, fy = fraction[:, 0, :, None], fraction[:, 1, :, None]
        flat = self._padded.reshape(-1, CHANNELS)
        first = cell[:, 1] * (FEATURE_GRID + 2) + cell[:, 0]
        top = flat[first]
        top += fx * (flat[first + 1] - top)
        low = flat[first + FEATURE_GRID + 2]
        low += fx * (flat[first + FEATURE_GRID + 3] - low)
        top += fy * (low - top)
        return np.asarray(top.reshape(3, PATCH, PATCH, CHANNELS), np.float32)


class _RegionFit(NamedTuple):
    """A fitted face, and the region that it was fitted in."""

    roi: Roi
    face: Face


class FaceMesh:
    """Landmarker of the 468-point mesh. Not thread-safe: use one per thread (`clone` is cheap)."""

    def __init__(self, path: Path) -> None:
        content = read_model(path)
        graph = TfliteGraph(content)
        self._path = path
        self._mesh = TfliteNetwork(
            graph.extract(MESH_INPUTS, MESH_OUTPUTS), MESH_INPUTS, MESH_OUTPUTS
        )
        self._refine = TfliteNetwork(
            graph.extract(REGION_INPUTS, REFINED_OUTPUTS), REGION_INPUTS, REFINED_OUTPUTS
        )
        self._regions = _RegionSampler(graph)

    def clone(self) -> FaceMesh:
        """Return another landmarker of the same weights, for another thread."""
        return FaceMesh(self._path)

    def fit(self, image: Pixels, face: Face) -> Face | None:
        """Return the face with mesh, iris and logit; None when the network finds no face.

        A detection is fitted again around its own mesh, which removes the detector's box error, and
        in four rotations when the logit is below `DOUBTFUL_LOGIT`. `fit_detected` leaves out boxes
        on walls.

        Args:
            image: (H, W, 3) RGB uint8 or uint16.
            face: a detection, or a face with a mesh of this frame or the frame before.
        """
        if face.mesh is not None:
            return self.refit(image, face)
        roi = roi_of_detection(face)
        best = self._fit_coarsely(image, roi, face)
        # The detector's eye keypoints are wrong when a head is far from upright.
        if not best or best[-1].face.logit < DOUBTFUL_LOGIT:
            for quarters in (1, 2, 3):
                rotated = replace(roi, angle=roi.angle + quarters * np.pi / 2)
                other = self._fit_coarsely(image, rotated, face)
                if other and (
                    not best or other[-1].face.logit > best[-1].face.logit + CLEAR_MARGIN
                ):
                    best = other
        return self._converge(image, best) if best else None

    def _fit_coarsely(self, image: Pixels, roi: Roi, face: Face) -> list[_RegionFit]:
        """Fit in `roi`, then around the mesh until a region has about the turn and size of it.

        Mostly two fits, at most `MOST_COARSE_FITS`; those up to the first that fails.
        """
        fits: list[_RegionFit] = []
        while len(fits) < MOST_COARSE_FITS:
            fitted = self.fit_roi(image, roi, face)
            if fitted is None or fitted.mesh is None:
                break
            fits.append(_RegionFit(roi, fitted))
            if len(fits) > 1 and roi.is_like(fits[-2].roi, SAME_TURN, SAME_SIDE):
                break
            roi = roi_of_mesh(fitted.mesh)
        return fits

    def _converge(self, image: Pixels, fits: list[_RegionFit]) -> Face:
        """Continue coarse fits until the region is stable, as that of a tracked face.

        The mesh's error depends on the region: a first fit around the detector's box differs from
        those that follow it by up to a degree and 1 % of size. Mostly four fits, at most
        `MOST_FITS`. The regions of partly covered faces may alternate without end: the last fit
        there is in the mean of two. Where a further fit fails, the last good one is the result.
        """
        roi, face = fits[-1]
        change = roi.difference(fits[-2].roi) if len(fits) > 1 else np.inf
        for count in range(len(fits), MOST_FITS):
            if change < STABLE_REGION or face.mesh is None:
                break
            last, roi = roi, roi_of_mesh(face.mesh)
            change = roi.difference(last)
            if count == MOST_FITS - 1 and change >= STABLE_REGION:
                roi = roi.halfway_to(last)
            fitted = self.fit_roi(image, roi, face)
            if fitted is None:
                break
            face = fitted
        return face

    def refit(self, image: Pixels, face: Face) -> Face | None:
        """Fit once around the face's mesh, as it was in this image or the frame before.

        The region follows the face freely. A steady region jitters less, but the network's error
        then changes with the face's place in it (self-reenactment SSIM 0.01 lower on four of six
        clips).
        """
        if face.mesh is None:
            return self.fit(image, face)
        return self.fit_roi(image, roi_of_mesh(face.mesh), face)

    def refine(self, image: Pixels, face: Face) -> Face | None:
        """Fit as the mean of nine passes in slightly different regions, for stills.

        It has a third of the error of one pass: 0.13 to 0.37 % of the outer eye distance against
        0.5 to 0.7 %, measured on rotated and resized copies of one image.
        """
        first = self.fit(image, face)
        if first is None or first.mesh is None:
            return None
        roi = roi_of_mesh(first.mesh)
        fits = [
            self.fit_roi(image, Roi(roi.x, roi.y, roi.side * scale, roi.angle + angle), first)
            for scale in REFINE_SCALES
            for angle in REFINE_ANGLES
        ]
        valid = [fit for fit in fits if fit is not None]
        if not valid:
            return first
        mesh = np.asarray(np.mean([f.mesh for f in valid if f.mesh is not None], 0), np.float32)
        iris = np.asarray(np.mean([f.iris for f in valid if f.iris is not None], 0), np.float32)
        return replace(
            first,
            box=bounding_box(mesh),
            mesh=mesh,
            iris=iris,
            logit=float(np.median([f.logit for f in valid])),
        )

    def fit_roi(self, image: Pixels, roi: Roi, face: Face) -> Face | None:
        """Fit once in a given region; score and track are those of `face`, keypoints the mesh's."""
        if not (np.isfinite(roi.side) and roi.side >= 2):
            return None
        crop = crop_roi(image, roi)
        self._mesh.write_scaled_input(crop, 1.0 / np.iinfo(crop.dtype).max)
        raw, flag, features = self._mesh.run()
        logit = float(flag.flat[0])
        if not logit > FACE_LOGIT:
            return None
        mesh = raw.reshape(468, 3)
        iris = self._refine_mesh(mesh, features[0])
        image_from_crop = roi.matrix().astype(np.float32)
        linear, shift = image_from_crop[:, :2].T, image_from_crop[:, 2] - np.float32(0.5)
        points = np.empty((468, 3), np.float32)
        points[:, :2] = mesh[:, :2] @ linear + shift
        points[:, 2] = mesh[:, 2] * np.float32(roi.side / SIDE)
        keypoints = np.asarray(
            (points[KEYPOINT_PAIRS[0], :2] + points[KEYPOINT_PAIRS[1], :2]) / 2, np.float32
        )
        return replace(
            face,
            box=bounding_box(points),
            keypoints=keypoints,
            mesh=points,
            iris=iris @ linear + shift,
            logit=logit,
            points=None,
        )

    def _refine_mesh(self, mesh: Array32, features: Array32) -> Array32:
        """Write the refined lips and eyes into mesh, in place, x and y only.

        Returns the irises (2, 5, 2). All coordinates are in 0..192.
        """
        matrices, shifts = self._regions.patch_transforms(mesh[:, :2])
        patches = self._regions.sample_patches(features, matrices, shifts)
        lips, eye0, iris0, eye1, iris1 = (
            o[0] for o in self._refine.run(*(p[None] for p in patches))
        )
        cell = np.float32(SIDE / FEATURE_GRID)
        for i, points in enumerate((lips, eye0, eye1)):
            mesh[self._regions.subsets[i], :2] = points @ matrices[i].T + shifts[i] * cell
        both = (iris0 @ matrices[1].T + shifts[1] * cell, iris1 @ matrices[2].T + shifts[2] * cell)
        return np.asarray(np.stack(both), np.float32)


def load(run: RunOptions) -> FaceMesh:
    """Load the default landmarker.

    Raises:
        WeightsError: its weights are absent.
        DeviceError: LiteRT is not installed.
    """
    return FaceMesh(locate("facemesh-attention", offline=run.offline))


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a file has the tensors that are read and written."""
    names = (*MESH_INPUTS, *MESH_OUTPUTS, *REGION_INPUTS, *REFINED_OUTPUTS)
    require_tensors(checkpoint.path, names)
