"""dva-s: a diffusion video autoencoder made small enough to be trained, and to edit, on a CPU.

The plan is the paper's: a clip's z_id is the mean of its frames', one linear layer makes z_face of it and of each frame's landmarks, a
U-Net of the paper's blocks (one norm for the time, one for the face) takes each frame to x_T and back. What differs, because an
hour of CPU must do:

- z_id is in two parts, each of unit length: 512 numbers of identity-s, which was taught not to see glasses, beards or smiles, and 128 of a
  look, a code learnt together with the diffusion (as DiffAE's semantic code), in which CelebA's 40 attributes are linear;
- z_lnd are 68 points of the mesh;
- z_face is painted first, by a small decoder without noise, and what is diffused is what the painting leaves of the picture, in units of
  its usual size: what z_face says is then said by the painting from the first hour on, and x_T holds the rest;
- the network gives v, not noise, so that what it says of x0 is of use at the noisiest steps too;
- 3x3 pixels become channels before any convolution.
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
from thcli.editors.dva.diffusion_editor import Diffusing, Told
from thcli.editors.dva.small_network import IDENTITY, Shape, SmallDva
from thcli.editors.shared.trajectory import fingerprint
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.faces.adapters.common import check_licence
from thcli.faces.identity.aligned import aligned
from thcli.faces.identity.small import load as load_identity
from thcli.faces.landmarks.landmarks68 import landmarks68
from thcli.faces.landmarks.topology import OVAL, POINTS
from thcli.weights.tensors import load_tensors

WEIGHTS = "dva-s"
SHAPE = Shape()
PREDICTS: Prediction = "v"
UNIT = 0.25  # root mean square of what a painting leaves of its picture, pictures in [-1, 1]
STEPS = 12  # of second order, at even distances of log SNR: a picture comes back as by a hundred of DDIM


class DvaSmall(Diffusing):
    """An Editor. Identities (N, 640): identity-s, then the look, each of unit length.  Landmarks (N, 136): x0, y0, x1, y1 … in shares of the crop."""

    def __init__(
        self,
        network: SmallDva,
        identities: IdentityEncoder,
        run: RunOptions,
        options: EditorOptions | None = None,
    ) -> None:
        """Raises DeviceError when the device is not there."""
        super().__init__(run, options, STEPS, "dpm++", sampling.schedule_by_noise)
        self.units = (IDENTITY, network.shape.look)
        self.fingerprint = fingerprint(network.facer.linear)
        self.network, self.crop_size = self.ready(network), network.shape.size
        self._identities = identities

    def encode(self, crops: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array32]:
        """Identities (N, 640) and landmarks (N, 136). Raises NoFaceError for a face without its mesh."""
        points = np.stack([landmarks_of(face, self.crop_size) for face in faces])
        who = self._identities.vectors(
            [aligned(crop, face) for crop, face in zip(crops, faces, strict=True)]
        )
        looks = []
        for here in self.batches(len(crops)):
            with self.computing():
                found = self.network.looker(self.tensor(crops[here], self.crop_size)).float()
                looks.append(torch.nn.functional.normalize(found).cpu().numpy())
        return np.concatenate([who, np.concatenate(looks)], 1), points

    def told(self, identity: Tensor, landmarks: Tensor, table: Schedule) -> Told:
        """The painting, and the network on its remainder."""
        net = self.network
        face = net.facer(identity, landmarks)
        painting = net.painter(face).float()

        def model(x: Tensor, times: Tensor) -> Tensor:
            out: Tensor = net.remainder(
                x, times, face.expand(len(x), -1), painting.expand(len(x), -1, -1, -1)
            )
            return out

        return Told(Denoiser(model, table, PREDICTS, clip=False), painting, UNIT)

    def seen(self, crop: Image, face: Face) -> tuple[Tensor, Tensor, Tensor]:
        """As `encode`; the region is the mesh's oval."""
        identity, points = self.encode([crop], [face])
        assert face.mesh is not None  # `encode` has looked
        region = oval(face.mesh, self.crop_size)
        who, how, where = (
            torch.from_numpy(values).to(self.device)
            for values in (identity, points, region[None, None])
        )
        return who, how, where.float()


def remainder_of(pictures: Tensor, painting: Tensor) -> Tensor:
    """What is diffused: the difference to the painting, about 1 in size."""
    return (pictures - painting) / UNIT


def landmarks_of(face: Face, size: int) -> Array32:
    """(136,) of a face in the pixels of its crop. Raises NoFaceError when it has no mesh."""
    if face.mesh is None:
        raise NoFaceError("dva-s needs the 468 points of a face.", "Use the landmarker facemesh.")
    return shares(face.mesh, size)


def shares(mesh: npt.ArrayLike, size: int) -> Array32:
    """(136,) the 68 landmarks of a mesh (468, 2 or 3), in pixels of a crop, as shares of its side: x0, y0, x1, y1 …"""
    points = np.zeros((POINTS, 3))
    points[:, :2] = np.asarray(mesh)[:, :2]
    return np.asarray((landmarks68(points)[:, :2].ravel() + 0.5) / size, np.float32)


def oval(mesh: npt.ArrayLike, size: int) -> npt.NDArray[np.uint8]:
    """(size, size) 1 within the mesh's outline, else 0."""
    out = np.zeros((size, size), np.uint8)
    outline = np.asarray(mesh, np.float32)[list(OVAL), :2]
    cv2.fillConvexPoly(out, cv2.convexHull(np.rint(outline).astype(np.int32)), 1)
    return out


def load(run: RunOptions, options: EditorOptions | None = None) -> DvaSmall:
    """Raises WeightsError when the weights are absent, other ones, or refused by --licence; DeviceError."""
    check_licence(WEIGHTS, run.licence)
    return made(load_tensors(WEIGHTS, offline=run.offline), WEIGHTS, run, options)


def made(
    tensors: Mapping[str, Tensor], where: str, run: RunOptions, options: EditorOptions | None = None
) -> DvaSmall:
    """The editor of these weights, of any precision. where: their name, for messages."""
    floats = {key: value.float() for key, value in tensors.items()}
    return DvaSmall(load_state(SmallDva(SHAPE), floats, where), load_identity(run), run, options)
