"""Layout of a Real3D-Portrait checkpoint, from its config.yaml or from the shapes of its tensors.

Source: Real3DPortrait egs/os_avatar at a9d70c7. The published checkpoint's own config.yaml decides
between tri-planes and tri-grids, and whether the torso network sees the segmentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from thcli.core.errors import WeightsError
from thcli.weights.tensors import Shaped

FEATURES = 32  # channels of a plane, and of a rendered pixel
RENDER_SHARE = 4  # pixels of the output's side for each of a rendering's
WIDTH = 256  # channels of the super-resolution's first block
TorsoInput = Literal["rgb_alpha", "rgb"]

_LINE = re.compile(r"^([A-Za-z_0-9]+):[ \t]*([^#\n]*)", re.MULTILINE)
_TYPES = {"triplane": 1, "trigrid_v2": 3}
# Settings that change the networks or the arithmetic; a checkpoint with others is refused.
TORSO_STEP = 256  # the torso network halves a quarter of the plane five times
_SUPPORTED = {
    "img2plane_input_mode": ("rgb",),
    "img2plane_backbone_scale": ("standard",),
    "pncc_cond_mode": ("cano_src_tgt",),
    "secc_segformer_scale": ("b0",),
    "phase1_plane_fusion_mode": ("add",),
    "torso_model_version": ("v2",),
    "htbsr_head_weight_fuse_mode": ("v2",),
    "torso_kp_num": ("4",),
    "sr_type": ("vanilla",),
    "weight_fuse": ("true",),
    "mask_invalid_rays": ("false",),
    "large_sr": ("false",),
    "triplane_hid_dim": ("32",),
    "box_warp": ("1", "1.0"),
}


@dataclass(frozen=True, slots=True)
class Real3DConfig:
    """Layout of the networks; the defaults are the published configuration "orig".

    plane_depth: slices of a plane: 1 tri-plane, 3 tri-grid.
    torso_input: channels of the torso image, with ("rgb_alpha") or without body and clothes masks.
    torso: whether the model draws torso and background; False: the head alone.
    coarse_samples, fine_samples: samples of a ray.
    image_size: pixels of input and output, a multiple of 32 (of 256 with a torso); planes have half
        and renderings a quarter of them.
    head_threshold: share of the head from which a pixel is all head, in 0..1.
    width_divisor: divides every inner width (1: as published), for training small models.
    """

    plane_depth: int = 1
    torso_input: TorsoInput = "rgb_alpha"
    torso: bool = True
    coarse_samples: int = 48
    fine_samples: int = 48
    image_size: int = 512
    head_threshold: float = 0.9
    width_divisor: int = 1

    @property
    def plane_size(self) -> int:
        """Pixels of a plane's side."""
        return self.image_size // 2

    @property
    def render_size(self) -> int:
        """Pixels of a rendering's side."""
        return self.image_size // RENDER_SHARE

    @property
    def plane_channels(self) -> int:
        """Channels of one plane: features times depth."""
        return FEATURES * self.plane_depth

    @classmethod
    def from_yaml(cls, text: str, name: str = "config.yaml") -> Real3DConfig:
        """Read the top level of a checkpoint's config.yaml; absent settings keep the defaults.

        Args:
            text: contents of the file.
            name: of the file, for messages.

        Raises:
            WeightsError: the model is of a kind that is not supported.
        """
        values = {key: value.strip().strip("'\"") for key, value in _LINE.findall(text)}
        for key, allowed in _SUPPORTED.items():
            value = values.get(key, "").lower()
            if value and value not in allowed:
                raise WeightsError(
                    f"{name} is of a model with {key}: {value}, which is not supported.",
                    f"Use the published checkpoint, which has {key}: {allowed[0]}.",
                )
        kind = values.get("triplane_feature_type", "triplane")
        depth = _number(values, "triplane_depth", _TYPES.get(kind, 0), name)
        if _TYPES.get(kind) != depth:
            raise WeightsError(
                f"{name} is of a model with {kind} planes of depth {depth:g}, which is not "
                "supported.",
                "Use a checkpoint with triplane (depth 1) or trigrid_v2 (depth 3).",
            )
        torso_input = values.get("torso_inp_mode", "rgb")
        if torso_input not in ("rgb", "rgb_alpha"):
            raise WeightsError(
                f"{name} has torso_inp_mode: {torso_input!r}; rgb and rgb_alpha are supported."
            )
        return cls(
            plane_depth=int(depth),
            torso_input="rgb_alpha" if torso_input == "rgb_alpha" else "rgb",
            coarse_samples=int(_number(values, "num_samples_coarse", cls().coarse_samples, name)),
            fine_samples=int(_number(values, "num_samples_fine", cls().fine_samples, name)),
            image_size=_image_size(values, name),
            head_threshold=_number(values, "htbsr_head_threshold", cls().head_threshold, name),
        )

    def to_yaml(self) -> str:
        """Return the settings as a config.yaml, which `from_yaml` reads.

        The inner widths are not among them: a checkpoint's tensors decide.
        """
        settings = {key: allowed[0] for key, allowed in _SUPPORTED.items()} | {
            "triplane_feature_type": next(k for k, v in _TYPES.items() if v == self.plane_depth),
            "triplane_depth": self.plane_depth,
            "torso_inp_mode": self.torso_input,
            "num_samples_coarse": self.coarse_samples,
            "num_samples_fine": self.fine_samples,
            "neural_rendering_resolution": self.render_size,
            "final_resolution": self.image_size,
            "htbsr_head_threshold": self.head_threshold,
        }
        return "".join(f"{key}: {value}\n" for key, value in settings.items())

    def from_state(self, state: Mapping[str, Shaped]) -> Real3DConfig:
        """Return this configuration with what the shapes of a checkpoint decide.

        They decide the planes' depth, the torso network's input and its presence, and the inner
        widths; where a config.yaml is absent or disagrees, the tensors are right. An incomplete
        state changes nothing: strict loading names what it lacks.

        Args:
            state: tensors or shapes by their published names.
        """
        planes = state.get(_PLANES_KEY)
        torso = state.get(_TORSO_KEY)
        depth = self.plane_depth if planes is None else planes.shape[0] // (3 * FEATURES)
        torso_input = self.torso_input
        wide = state.get(_WIDTH_KEY)
        divisor = self.width_divisor if wide is None else max(1, WIDTH // wide.shape[0])
        if torso is not None:
            torso_input = "rgb_alpha" if torso.shape[1] == 5 else "rgb"
        return replace(
            self,
            plane_depth=depth,
            torso_input=torso_input,
            torso=torso is not None or not state,
            width_divisor=divisor,
        )


_PLANES_KEY = "cano_img2plane_backbone.triplane_predictor_vit.final_conv.bias"
_WIDTH_KEY = "superresolution.block0.conv0.bias"
_TORSO_KEY = "superresolution.torso_model.appearance_extractor.in_conv.layers.0.weight"


def _number(values: Mapping[str, str], key: str, default: float, name: str) -> float:
    word = values.get(key) or str(default)
    try:
        return float(word)
    except ValueError as exc:
        raise WeightsError(f"{name} has {key}: {word!r}, which is not a number.") from exc


def _image_size(values: Mapping[str, str], name: str) -> int:
    """Return final_resolution, which must fit the networks and neural_rendering_resolution."""
    size = _number(values, "final_resolution", Real3DConfig().image_size, name)
    render = _number(values, "neural_rendering_resolution", size / RENDER_SHARE, name)
    if size <= 0 or size % TORSO_STEP or render * RENDER_SHARE != size:
        raise WeightsError(
            f"{name} is of a model that renders {render:g} for {size:g} pixels, which is not "
            "supported.",
            f"Use a checkpoint whose final_resolution is a multiple of {TORSO_STEP} and "
            f"{RENDER_SHARE} times its neural_rendering_resolution.",
        )
    return int(size)
