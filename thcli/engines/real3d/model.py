"""Networks of Real3D-Portrait as one model, with the keys as published.

A source image becomes canonical planes, PNCC images their change, a camera a rendering, and torso
and background the final image. Images are (B, 3, H, W) RGB in [-1, 1], black is -1.
Source: Ye et al. 2024 (Real3D-Portrait); Real3DPortrait modules/real3d at a9d70c7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from thcli.core.errors import WeightsError
from thcli.engines.real3d.config import Real3DConfig
from thcli.engines.real3d.image_to_plane import ImageToPlane
from thcli.engines.real3d.motion_adapter import MotionAdapter
from thcli.engines.real3d.planes import PlaneToGrid
from thcli.engines.real3d.stylegan import fold_styles
from thcli.engines.real3d.superresolution import (
    SuperResolution,
    Surroundings,
    TorsoSuperResolution,
)
from thcli.engines.real3d.volume_renderer import Decoder, Rendered, VolumeRenderer
from thcli.engines.shared.networks.checkpoint import load, without_spectral_norm

PREFIX = "state_dict.model."  # of the checkpoint's tensors, nested or flat


class SourceImages(NamedTuple):
    """Prepared images and landmarks of a source.

    head, torso, background: (B, 3, H, W) in [-1, 1].  segmap: (B, 6, H, W) one-hot.  keypoints:
    (B, 68, 3) landmarks in [-1, 1], z 0.
    """

    head: Tensor
    torso: Tensor
    background: Tensor
    segmap: Tensor
    keypoints: Tensor


class PreparedSource(NamedTuple):
    """Encoded source, constant over frames: canonical planes, torso and background."""

    planes: Tensor
    surroundings: Surroundings


class RayNoise(NamedTuple):
    """Random numbers of a rendering, in [0, 1).

    depth: (B, S^2, coarse samples).  importance: (B, S^2, fine samples).
    """

    depth: Tensor
    importance: Tensor


class HeadModel(nn.Module):
    """Decoder, renderer and super-resolution of planes, which subclasses make."""

    def __init__(self, config: Real3DConfig):
        super().__init__()
        self.config = config
        self.decoder = Decoder()
        if config.plane_depth > 1:
            self.plane2grid_module = PlaneToGrid()
        self.superresolution: SuperResolution = (
            TorsoSuperResolution(config) if config.torso else SuperResolution(config)
        )

    @property
    def renderer(self) -> VolumeRenderer:
        """Renderer with this model's decoder."""
        return VolumeRenderer(self.decoder, self.config.render_size)

    def render(
        self, planes: Tensor, camera: Tensor, depth_noise: Tensor, importance: Tensor
    ) -> Rendered:
        """Render planes from cameras (B, 25); see `VolumeRenderer.render`."""
        return self.renderer.render(planes, camera, depth_noise, importance)

    def head_image(self, rendered: Rendered) -> Tensor:
        """Enlarge the rendering of a model without torso to the output, (B, 3, H, W)."""
        out: Tensor = self.superresolution(rendered)
        return out

    def ray_noise(self, generator: torch.Generator | None = None, batch: int = 1) -> RayNoise:
        """Draw the random numbers of `batch` renderings on the CPU."""
        rays = self.config.render_size**2
        counts = self.config.coarse_samples, self.config.fine_samples
        return RayNoise(*(torch.rand(batch, rays, count, generator=generator) for count in counts))

    def _refined(self, planes: Tensor) -> Tensor:
        """Refine tri-grids; tri-planes stay as they are."""
        return self.plane2grid_module(planes) if self.config.plane_depth > 1 else planes


class PretrainingModel(HeadModel):
    """The model that learns image-to-plane before there is any motion."""

    def __init__(self, config: Real3DConfig):
        super().__init__(config)
        self.img2plane_backbone = ImageToPlane(config)

    def canonical_planes(self, head: Tensor) -> Tensor:
        """Compute the planes (B, 3, 32 D, H / 2, W / 2) of a head image (B, 3, H, W)."""
        return self._refined(self.img2plane_backbone(head))


class Real3D(HeadModel):
    """Image-to-plane network, motion adapter, renderer and super-resolution."""

    def __init__(self, config: Real3DConfig):
        super().__init__(config)
        # Two numbers that only training reads: weights of the terms that smooth the motion.
        self.lambda_pertube_blink_secc = nn.Parameter(torch.tensor([0.001]), requires_grad=False)
        self.lambda_pertube_secc = nn.Parameter(torch.tensor([0.001]), requires_grad=False)
        self.cano_img2plane_backbone = ImageToPlane(config)
        self.secc_img2plane_backbone = MotionAdapter(config)

    def canonical_planes(self, head: Tensor) -> Tensor:
        """Compute the planes (B, 3, 32 D, H / 2, W / 2) of a head image (B, 3, H, W)."""
        return self._refined(self.cano_img2plane_backbone(head))

    def residual_planes(self, canonical: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Compute what the motion adds to the canonical planes.

        Args:
            canonical, source, target: (B, 3, H, W) PNCC images of the neutral head, the source's
                expression and the frame's.
        """
        images = torch.cat([canonical, source, target], 1)
        out: Tensor = self.secc_img2plane_backbone(images)
        return out

    def prepare_source(self, images: SourceImages) -> PreparedSource:
        """Compute once what does not change from frame to frame."""
        surroundings = self._with_torso().prepare(*images[1:])
        return PreparedSource(self.canonical_planes(images.head), surroundings)

    def compose_prepared(
        self,
        rendered: Rendered,
        surroundings: Surroundings,
        driving_keypoints: Tensor,
        threshold: float | None = None,
    ) -> Tensor:
        """Draw a rendering with the torso and background of `prepare_source`, (B, 3, H, W)."""
        limit = self.config.head_threshold if threshold is None else threshold
        return self._with_torso().compose(rendered, surroundings, driving_keypoints, limit)

    def compose(
        self,
        rendered: Rendered,
        torso: Tensor,
        background: Tensor,
        segmap: Tensor,
        source_keypoints: Tensor,
        driving_keypoints: Tensor,
        threshold: float,
    ) -> Tensor:
        """Draw a rendering with torso and background that are encoded for this frame alone.

        Arguments are those of `SourceImages` and `compose_prepared`, which is faster for more than
        one frame.
        """
        with_torso = self._with_torso()
        surroundings = with_torso.prepare(torso, background, segmap, source_keypoints)
        return with_torso.compose(rendered, surroundings, driving_keypoints, threshold)

    def _with_torso(self) -> TorsoSuperResolution:
        if not isinstance(self.superresolution, TorsoSuperResolution):
            raise ValueError("This model has no torso; draw `head_image` instead.")
        return self.superresolution


def empty_model(config: Real3DConfig) -> Real3D:
    """Create the networks of a configuration, with random weights."""
    return Real3D(config)


def load_model(
    tensors: Mapping[str, Tensor], config: Real3DConfig | None = None, where: str = "real3d"
) -> Real3D:
    """Build the model of a checkpoint, for inference.

    What a checkpoint makes constant is put into the weights, which changes some keys.

    Args:
        tensors: state dict of the model, without the prefix.
        config: of the checkpoint's config.yaml; the tensors' shapes decide where it disagrees.
        where: name of the weights, for messages.

    Raises:
        WeightsError: tensors are missing, unexpected or misshapen.
    """
    if not tensors:
        raise WeightsError(f"{where} holds no tensors of the video model.")
    config = (config or Real3DConfig()).from_state(tensors)
    with torch.device("meta"):
        model: Real3D = empty_model(config)
    if not any(tensor.is_meta for tensor in tensors.values()):
        model = model.to_empty(device="cpu")
    model = load(model, without_spectral_norm(tensors, where), where)
    with torch.no_grad():
        fold_styles(model)
    return model
