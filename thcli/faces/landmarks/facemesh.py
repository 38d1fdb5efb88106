"""FaceMesh with attention: 468 points, refined lips and eyelids, and both irises, through LiteRT.

Grishchenko et al. 2020, "Attention Mesh", arXiv:2006.10962. The file holds three operators of MediaPipe that LiteRT lacks: the
net is cut around them, and they are done here in numpy.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from thcli.core.geometry import box_of
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Face
from thcli.faces.landmarks.roi import SIDE, Pixels, Roi, cut_out, roi_of_detection, roi_of_mesh
from thcli.faces.tflite import Graph, Network, read
from thcli.weights import locate

GRID = 48  # cells of its feature map: four input pixels each
PATCH = 16  # cells of a refined region
CHANNELS = 32
SETTLE_SCALES = (0.94, 1.0, 1.06)
SETTLE_TURNS = (-0.06, 0.0, 0.06)  # radians
DOUBTFUL_LOGIT = 22.0  # photos have 20 to 32, paintings and statues 18 to 28, a head fitted the wrong way up to 18
CLEARLY = 3.0  # a turned fit must be better by this much
FACE_LOGIT = 0.0  # sigmoid 0.5: below it, no face
REGIONS = (
    "transform_tensor_bilinear_v2",
    "transform_tensor_bilinear_v2_1",
    "transform_tensor_bilinear_v2_2",
)
REFINED = (
    "reshape_1",
    "reshape_3",
    "reshape_4",
    "reshape_6",
    "reshape_7",
)  # lips, eye 33/133, iris, eye 362/263, iris

KEYPOINTS = np.array([[33, 362, 4, 13, 234, 454], [133, 263, 4, 14, 234, 454]], np.intp)
"""Of each keypoint of a `Face`, the two mesh points that it lies between."""


class _Regions:
    """The numpy part of the net: places the lips' and eyes' patches on the mesh and samples the feature map there.

    Stands for the operators Landmarks2TransformMatrix, TransformTensorBilinear and TransformLandmarks.
    """

    def __init__(self, graph: Graph) -> None:
        options = [graph.custom_options(graph.maker_inputs(name)[1]) for name in REGIONS]
        self.subsets = [np.array(o["subset_idxs"], np.intp) for o in options]
        self._corners = np.array(
            [(o["left_rotation_idx"], o["right_rotation_idx"]) for o in options], np.intp
        )
        self._scale = np.array([(o["scale_x"], o["scale_y"]) for o in options], np.float32)
        centres = np.arange(PATCH, dtype=np.float32) + np.float32(0.5)
        self._grid = np.stack(
            [np.tile(centres, PATCH), np.repeat(centres, PATCH)]
        )  # (2, 256) as x, y
        self._padded = np.zeros(
            (GRID + 2, GRID + 2, CHANNELS), np.float32
        )  # a black border stands for "outside"

    def place(self, mesh: Array32) -> tuple[Array32, Array32]:
        """mesh (468, 2) in 0..192 -> matrices (3, 2, 2), shifts (3, 2): patch 0..16 to feature cells."""
        q = mesh * np.float32(GRID / SIDE)
        d = q[self._corners[:, 1]] - q[self._corners[:, 0]]
        d /= np.hypot(d[:, 0], d[:, 1])[:, None]
        matrices, shifts = np.empty((3, 2, 2), np.float32), np.empty((3, 2), np.float32)
        for i, subset in enumerate(self.subsets):
            c, s = d[i]
            rotation = np.array([[c, -s], [s, c]], np.float32)
            turned = q[subset] @ rotation
            low, high = turned.min(0), turned.max(0)
            matrices[i] = rotation * (self._scale[i] * (high - low) / PATCH)
            shifts[i] = rotation @ ((low + high) / 2) - matrices[i].sum(1) * (PATCH / 2)
        return matrices, shifts

    def sample(self, features: Array32, matrices: Array32, shifts: Array32) -> Array32:
        """features (48, 48, 32) -> (3, 16, 16, 32), bilinear, zero outside."""
        self._padded[1:-1, 1:-1] = features
        at = matrices @ self._grid + (
            shifts[:, :, None] + np.float32(0.5)
        )  # in the padded map, pixel centres
        np.clip(at, 0, GRID + 1 - 1e-3, out=at)
        cell = at.astype(np.int32)
        part = (at - cell).astype(np.float32)
        fx, fy = part[:, 0, :, None], part[:, 1, :, None]
        flat = self._padded.reshape(-1, CHANNELS)
        first = cell[:, 1] * (GRID + 2) + cell[:, 0]
        top = flat[first]
        top += fx * (flat[first + 1] - top)
        low = flat[first + GRID + 2]
        low += fx * (flat[first + GRID + 3] - low)
        top += fy * (low - top)
        return np.asarray(top.reshape(3, PATCH, PATCH, CHANNELS), np.float32)


class FaceMesh:
    """The landmarker. Not safe to share between threads: make one a thread (`clone` is cheap)."""

    def __init__(self, path: Path) -> None:
        content = read(path)
        graph = Graph(content)
        self._path = path
        outputs = ("output_mesh", "conv_faceflag", "p_re_lu_3")
        self._mesh = Network(graph.cut(["input_1"], outputs), ["input_1"], outputs)
        self._refine = Network(graph.cut(REGIONS, REFINED), REGIONS, REFINED)
        self._regions = _Regions(graph)

    def clone(self) -> FaceMesh:
        """Another one of the same weights, for another thread."""
        return FaceMesh(self._path)

    def fit(self, picture: Pixels, face: Face) -> Face | None:
        """The face with mesh, iris and logit; None when the network sees none.

        picture: (H, W, 3) RGB uint8 or uint16.  face: with a mesh of this or the frame before, or a detection; a detection is
        fitted again around its own mesh, which removes the detector's box error, and in four turns when the net is in doubt.
        """
        if face.mesh is not None:
            return self.refit(picture, face)
        roi = roi_of_detection(face)
        best = self._close_in(picture, roi, face)
        if (
            best is None or best.logit < DOUBTFUL_LOGIT
        ):  # the detector's eyes mislead when a head is far from upright
            for quarters in (1, 2, 3):
                turned = replace(roi, angle=roi.angle + quarters * np.pi / 2)
                other = self._close_in(picture, turned, face)
                if other is not None and (best is None or other.logit > best.logit + CLEARLY):
                    best = other
        return best

    def _close_in(self, picture: Pixels, roi: Roi, face: Face) -> Face | None:
        """A first look in `roi`, then looks around the mesh until its region rests: mostly one, four at most."""
        found = self.fit_roi(picture, roi, face)
        for _ in range(4):
            if found is None or found.mesh is None:
                return None
            last, roi = roi, roi_of_mesh(found.mesh)
            found = self.fit_roi(picture, roi, face)
            if abs(np.sin(roi.angle - last.angle)) < 0.2 and 0.8 < roi.side / last.side < 1.25:
                break
        return found

    def refit(self, picture: Pixels, face: Face) -> Face | None:
        """One pass around the face's mesh, as it was in this picture or the frame before.

        Its region follows the face freely: one that is held steady trembles less, but the net's error then changes with the
        face's place in it (self-reenactment SSIM .01 lower on four of six clips).
        """
        if face.mesh is None:
            return self.fit(picture, face)
        return self.fit_roi(picture, roi_of_mesh(face.mesh), face)

    def refine(self, picture: Pixels, face: Face) -> Face | None:
        """The mean of nine passes in slightly other regions: a third of the error of one pass, for stills that a whole job rests on.

        Measured on turned and resized copies of one picture: 0.13 to 0.37 % of the outer eye distance, one pass 0.5 to 0.7 %.
        """
        first = self.fit(picture, face)
        if first is None or first.mesh is None:
            return None
        roi = roi_of_mesh(first.mesh)
        tries = [
            self.fit_roi(picture, Roi(roi.x, roi.y, roi.side * scale, roi.angle + turn), first)
            for scale in SETTLE_SCALES
            for turn in SETTLE_TURNS
        ]
        good = [t for t in tries if t is not None]
        if not good:
            return first
        mesh = np.asarray(np.mean([t.mesh for t in good if t.mesh is not None], 0), np.float32)
        iris = np.asarray(np.mean([t.iris for t in good if t.iris is not None], 0), np.float32)
        return replace(
            first,
            box=box_of(mesh),
            mesh=mesh,
            iris=iris,
            logit=float(np.median([t.logit for t in good])),
        )

    def fit_roi(self, picture: Pixels, roi: Roi, face: Face) -> Face | None:
        """One pass in a given region; score and track are those of `face`, keypoints those of the mesh."""
        if not (np.isfinite(roi.side) and roi.side >= 2):
            return None
        crop = cut_out(picture, roi)
        self._mesh.scaled_input(crop, 1.0 / np.iinfo(crop.dtype).max)
        raw, flag, features = self._mesh.run()
        logit = float(flag.flat[0])
        if not logit > FACE_LOGIT:
            return None
        mesh = raw.reshape(468, 3)
        iris = self._refined(mesh, features[0])
        to_picture = roi.matrix().astype(np.float32)
        linear, shift = to_picture[:, :2].T, to_picture[:, 2] - np.float32(0.5)
        points = np.empty((468, 3), np.float32)
        points[:, :2] = mesh[:, :2] @ linear + shift
        points[:, 2] = mesh[:, 2] * np.float32(roi.side / SIDE)
        keypoints = np.asarray(
            (points[KEYPOINTS[0], :2] + points[KEYPOINTS[1], :2]) / 2, np.float32
        )
        return replace(
            face,
            box=box_of(points),
            keypoints=keypoints,
            mesh=points,
            iris=iris @ linear + shift,
            logit=logit,
            points=None,
        )

    def _refined(self, mesh: Array32, features: Array32) -> Array32:
        """Puts the refined lips and eyes into mesh (in place, x and y only); returns the irises (2, 5, 2), all in 0..192."""
        matrices, shifts = self._regions.place(mesh[:, :2])
        patches = self._regions.sample(features, matrices, shifts)
        lips, eye0, iris0, eye1, iris1 = (
            o[0] for o in self._refine.run(*(p[None] for p in patches))
        )
        cell = np.float32(SIDE / GRID)
        for i, points in enumerate((lips, eye0, eye1)):
            mesh[self._regions.subsets[i], :2] = points @ matrices[i].T + shifts[i] * cell
        both = (iris0 @ matrices[1].T + shifts[1] * cell, iris1 @ matrices[2].T + shifts[2] * cell)
        return np.asarray(np.stack(both), np.float32)


def load(run: RunOptions) -> FaceMesh:
    """The default landmarker. Raises WeightsError when its weights are absent, DeviceError without LiteRT."""
    return FaceMesh(locate("facemesh-attention", offline=run.offline))
