"""Training of Real3D-Portrait's last stage: super-resolution with torso and background.

Source: Ye et al. 2024 (Real3D-Portrait), sec. 3.3 and appendix; Real3DPortrait tasks/os_avatar and
egs/os_avatar/real3d_orig at a9d70c7, for the weights of the terms.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from thcli.core.events import Listener
from thcli.core.options import Real3dTrainOptions, TrainOptions
from thcli.engines.real3d.config import TORSO_STEP
from thcli.engines.real3d.engine import CHECKPOINT, CONFIG
from thcli.engines.real3d.model import PREFIX, Real3D
from thcli.engines.real3d.superresolution import Fused, TorsoSuperResolution
from thcli.engines.real3d.torso import Generator
from thcli.engines.real3d.volume_renderer import Rendered
from thcli.train.core.published_archive import write_archive
from thcli.train.core.task import Hyperparameters, LossTerms, Phase, TrainingData
from thcli.train.data.batches import Batch
from thcli.train.real3d import discriminator as dual
from thcli.train.real3d import losses as terms
from thcli.train.real3d.heads import read_heads
from thcli.train.real3d.portrait_batches import PortraitViews
from thcli.train.real3d.stage import FULL_SIZE, Real3dStage
from thcli.weights.tensors import load_tensors, require_keys

TRAINED = "superresolution."
OF_HEAD = (f"{TRAINED}block0.", f"{TRAINED}block1.")  # that the stage before has too
PERCEPTUAL, LIPS, ENTROPY = 0.1, 0.2, 0.001


class Real3dTorsoTask(Real3dStage):
    """Super-resolution with torso and background; the head's networks stay as they are."""

    name = "real3d-torso"
    exported = ("superresolution",)
    sizes = (FULL_SIZE, TORSO_STEP)
    loads_any_width = loads_any_size = True
    adversarial = (0.003, 40_000)

    def __init__(
        self, options: TrainOptions, model_options: Real3dTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.hyperparameters = Hyperparameters(1000, 100, 4, 1e-5)
        self.portrait = Real3D(self.config(torso=True))
        networks = self.portrait.superresolution
        assert isinstance(networks, TorsoSuperResolution)
        self.fusion = networks
        add_spectral_norms(self.fusion.torso_model.deform_based_generator)
        if model_options.start:
            self._start(Path(model_options.start))
        self.discriminator = dual.DualDiscriminator(width_divisor=options.narrow)
        parts = [part for part in self.portrait.children() if part is not self.fusion]
        for part in parts:
            part.eval().requires_grad_(False)
        self.frozen_modules = (*self.frozen_modules, *parts)
        self.networks = {"superresolution": self.fusion, "discriminator": self.discriminator}
        self.phases = (
            Phase("generator", ("superresolution",)),
            Phase("discriminator", ("discriminator",)),
        )

    def _start(self, path: Path) -> None:
        """Load the weights of an earlier run, of this stage or of the one before."""
        found = load_tensors(path, prefix=PREFIX)
        wanted = {
            key: value
            for key, value in self.portrait.state_dict().items()
            if key in found or not key.startswith(TRAINED) or key.startswith(OF_HEAD)
        }
        require_keys(found, wanted, str(path))
        self.portrait.load_state_dict(found, strict=False)

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        heads = read_heads(folder, on, offline=self.options.offline)
        return PortraitViews(heads, batch, self.options.size, self.options.seed)

    @torch.no_grad()
    def render_head(self, batch: Batch, noise: torch.Generator) -> Rendered:
        """Render the batch's heads by the networks of the earlier stages."""
        planes = self.portrait.canonical_planes(batch["head"])
        planes = planes + self.portrait.residual_planes(*batch["pncc"].unbind(1))
        numbers = self.portrait.ray_noise(noise, len(planes))
        depth, importance = (values.to(planes.device) for values in numbers)
        return self.portrait.render(planes, batch["camera"], depth, importance)

    def draw(self, batch: Batch, rendered: Rendered) -> Fused:
        """Draw torso and background around the rendered heads."""
        around = self.fusion.prepare(
            batch["torso"], batch["background"], batch["segmap"], batch["keypoints"]
        )
        threshold = self.portrait.config.head_threshold
        return self.fusion.fuse(rendered, around, batch["target_keypoints"], threshold)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        target, camera, step = batch["target"], batch["camera"], int(batch["step"])
        if phase == "discriminator":
            small = terms.resized(batch["target_head"], self.portrait.config.render_size)
            return self.judge(cache["image"], cache["raw"], (target, small, camera), step)
        rendered = self.render_head(batch, noise)
        image, occlusion = self.draw(batch, rendered)
        cache["image"], cache["raw"] = image.detach(), rendered.rgb
        score = self.discriminator(image, rendered.rgb, camera)
        return {
            "image": (image - target).abs().mean(),
            "perceptual": PERCEPTUAL * self.perceptual_loss(image / 2 + 0.5, target / 2 + 0.5),
            "lips": LIPS * terms.inside_difference(image, target, batch["lips"]),
            "adversarial": self.adversarial_weight(step) * dual.generator_loss(score),
            "entropy": ENTROPY * terms.entropy(occlusion),
        }

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        rendered = self.render_head(batch, torch.Generator().manual_seed(0))
        result = self.draw(batch, rendered).image
        raw = nn.functional.interpolate(rendered.rgb, result.shape[2:])
        rows = {"source": batch["source"], "target": batch["target"], "result": result, "raw": raw}
        return {name: (values / 2 + 0.5).clamp(0, 1) for name, values in rows.items()}

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        kept = {k: v for k, v in self.portrait.state_dict().items() if not k.startswith(TRAINED)}
        trained = {f"{TRAINED}{key}": value for key, value in states["superresolution"].items()}
        return {f"{PREFIX}{key}": value for key, value in (kept | trained).items()}

    def write_importable(self, path: Path) -> Path:
        """Write a zip file with the published members: a configuration and a checkpoint."""
        config = CONFIG, self.portrait.config.to_yaml()
        target = path.with_name(f"{self.entry}.zip")
        return write_archive(target, config, CHECKPOINT, load_tensors(path, prefix=PREFIX))


def add_spectral_norms(generator: Generator) -> None:
    """Normalise the convolutions that the published torso network normalises, in place.

    The keys become the published ones, X.weight_orig, X.weight_u and X.weight_v. Source: Miyato et
    al. 2018.
    """
    for part in (generator.in_conv, generator.res, generator.up):
        for module in list(part.modules()):
            if isinstance(module, nn.Conv2d):
                spectral_norm(module)
