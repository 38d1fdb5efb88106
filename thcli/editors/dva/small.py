"""Backend dva-s: a diffusion video autoencoder small enough to train and to run on a CPU.

The design is the paper's. A clip's z_id is the mean of its frames'; one linear layer maps it and
each frame's landmarks to z_face; a U-Net of the paper's blocks (one norm for the time, one for the
face) inverts each frame to x_T and decodes it. It differs as follows, so that an hour of CPU
suffices:

- z_id has two parts of unit length: 512 numbers of identity-s, which is trained to ignore glasses,
beards and smiles, and 128 of an appearance code that is learnt with the diffusion (as DiffAE's
semantic code); CelebA's 40 attributes are linear in it;
- z_lnd are 68 points of the mesh;
- a small decoder maps z_face to a base image without noise. The diffused part is the residual to
it, in units of its usual size. The base image thus shows z_face from the first hour of training,
and x_T holds the rest;
- the network predicts v, not noise, so that its x0 is useful at the noisiest steps too;
- other landmarks move the crop along before it is inverted, since x_T holds most of the detail;
- 4 x 4 pixels become channels before the convolutions of the U-Net and of the appearance encoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thcli.core.errors import NoFaceError
from thcli.core.options import EditorOptions, RunOptions
from thcli.core.protocols import IdentityEncoder
from thcli.core.types import Array32, Face, Image
from thcli.diffusion.process import Prediction
from thcli.diffusion.samplers import Denoiser
from thcli.diffusion.schedule import Schedule
from thcli.editors.dva import sampling
from thcli.editors.dva.diffusion_editor import ConditionedDenoiser, DiffusionEditor
from thcli.editors.dva.motion import warp_to_landmarks
from thcli.editors.dva.small_network import IDENTITY, SmallDva, SmallDvaShape
from thcli.editors.shared.trajectory import hash_weights
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.faces.identity.aligned_crop import aligned_crop
from thcli.faces.identity.small import load as load_identity
from thcli.faces.landmarks.landmarks68 import landmarks68
from thcli.faces.landmarks.topology import OVAL, POINTS
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

WEIGHTS = "dva-s"
SHAPE = SmallDvaShape()
PREDICTS: Prediction = "v"
RESIDUAL_STD = 0.25  # of the residual to the base image, images in [-1, 1]
OUTLINE = 17  # points of the jaw, the first of the 68
STEPS = 12  # of second order, even in log SNR; they reconstruct as well as 100 DDIM steps


class DvaSmall(DiffusionEditor):
    """Editor with identities (N, 640) and landmarks (N, 136).

    Identities are identity-s, then the appearance code, each of unit length. Landmarks are x0, y0,
    x1, y1 … in shares of the crop. The outline of the face never moves with an attribute: a change
    that is added to the frame cannot shift it against hair and background.
    """

    movable = slice(2 * OUTLINE, None)

    def __init__(
        self,
        network: SmallDva,
        identities: IdentityEncoder,
        run: RunOptions,
        options: EditorOptions | None = None,
    ) -> None:
        """Set up the networks. Raises DeviceError when the device is not available."""
        super().__init__(run, options, STEPS, "dpm++", sampling.schedule_by_snr)
        self.part_lengths = (IDENTITY, network.shape.appearance)
        self.fingerprint = hash_weights(network.facer.linear)
        self.network, self.crop_size = self.prepare(network), network.shape.size
        self._identities = identities

    def encode(self, crops: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array32]:
        """Return identities (N, 640) and landmarks (N, 136).

        Raises NoFaceError for a face without a mesh.
        """
        landmarks = np.stack([normalize_face_landmarks(face, self.crop_size) for face in faces])
        identities = self._identities.encode_crops(
            [aligned_crop(crop, face) for crop, face in zip(crops, faces, strict=True)]
        )
        appearances = []
        for here in self.batches(len(crops)):
            with self.inference():
                code = self.network.looker(self.tensor(crops[here], self.crop_size)).float()
                appearances.append(torch.nn.functional.normalize(code).cpu().numpy())
        return np.concatenate([identities, np.concatenate(appearances)], 1), landmarks

    def move(
        self, crops: Sequence[Image], landmarks: Array32, target: Array32
    ) -> tuple[list[Image], Array32]:
        """Warp crops from their landmarks (N, 136) to the target, with which they are inverted."""
        moved = [
            warp_to_landmarks(crop, own, other)
            for crop, own, other in zip(crops, landmarks, target, strict=True)
        ]
        return moved, target

    def condition(
        self, identity: Tensor, landmarks: Tensor, table: Schedule
    ) -> ConditionedDenoiser:
        """Return the denoiser of the residual, and the base image."""
        net = self.network
        face = net.facer(identity, landmarks)
        base_image = net.painter(face).float()

        def model(x: Tensor, times: Tensor) -> Tensor:
            out: Tensor = net.remainder(
                x, times, face.expand(len(x), -1), base_image.expand(len(x), -1, -1, -1)
            )
            return out

        denoiser = Denoiser(model, table, PREDICTS, clamp=False)
        return ConditionedDenoiser(denoiser, base_image, RESIDUAL_STD)

    def encode_crop(self, crop: Image, face: Face) -> tuple[Tensor, Tensor, Tensor]:
        """Encode one crop as `encode` does; the mask is the mesh's oval."""
        encoded = self.encode([crop], [face])
        assert face.mesh is not None  # `encode` raises without a mesh
        mask = face_oval_mask(face.mesh, self.crop_size)[None, None]
        identity, landmarks, oval = (
            torch.from_numpy(values).to(self.device) for values in (*encoded, mask)
        )
        return identity, landmarks, oval.float()


def compute_residual(images: Tensor, base_image: Tensor) -> Tensor:
    """Return the diffused part of images: the difference to the base image, about 1 in size."""
    return (images - base_image) / RESIDUAL_STD


def normalize_face_landmarks(face: Face, size: int) -> Array32:
    """Return the landmarks (136,) of a face in the pixels of its crop.

    Raises NoFaceError when the face has no mesh.
    """
    if face.mesh is None:
        raise NoFaceError("dva-s needs the 468 points of a face.", "Use the landmarker facemesh.")
    return normalize_landmarks(face.mesh, size)


def normalize_landmarks(mesh: npt.ArrayLike, size: int) -> Array32:
    """Return the 68 landmarks of a mesh as shares of the crop's side: (136,) x0, y0, x1, y1 …

    Args:
        mesh: (468, 2 or 3), pixels of the crop.
        size: side of the crop, pixels.
    """
    points = np.zeros((POINTS, 3))
    points[:, :2] = np.asarray(mesh)[:, :2]
    return np.asarray((landmarks68(points)[:, :2].ravel() + 0.5) / size, np.float32)


def face_oval_mask(mesh: npt.ArrayLike, size: int) -> npt.NDArray[np.uint8]:
    """Return (size, size) uint8, 1 within the mesh's outline, else 0."""
    out = np.zeros((size, size), np.uint8)
    outline = np.asarray(mesh, np.float32)[list(OVAL), :2]
    cv2.fillConvexPoly(out, cv2.convexHull(np.rint(outline).astype(np.int32)), 1)
    return out


def load(run: RunOptions, options: EditorOptions | None = None) -> DvaSmall:
    """Load the bundled weights.

    Raises:
        WeightsError: when they are absent, not the expected ones, or refused by --licence.
        DeviceError: when the device is not available.
    """
    check_licence(WEIGHTS, run.licence)
    return build(load_tensors(WEIGHTS, offline=run.offline), WEIGHTS, run, options)


def build(
    tensors: Mapping[str, Tensor], where: str, run: RunOptions, options: EditorOptions | None = None
) -> DvaSmall:
    """Build the editor from weights of any precision.

    Args:
        tensors: of `SmallDva`.
        where: their name, for messages.
        run, options: see `DvaSmall`.
    """
    floats = {key: value.float() for key, value in tensors.items()}
    return DvaSmall(load_state(SmallDva(SHAPE), floats, where), load_identity(run), run, options)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network."""
    load_state(SmallDva(SHAPE), checkpoint.tensors(), checkpoint.name)
