"""Backend removers: takes glasses, beards, moustaches, lipstick and make-up off a face.

The face is unrolled in every frame and averaged over the clip. The network sees the average once,
so that what it finds cannot flicker; every frame is changed alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from thcli.core.device import prepare_device
from thcli.core.errors import UsageError
from thcli.core.options import RemoverNetwork, RunOptions, Template
from thcli.core.types import Array32, Face, Image, Painted
from thcli.editors.atlas.removers import measured
from thcli.editors.atlas.removers.apply import Removal, apply_removal
from thcli.editors.atlas.removers.bare_skin import (
    grain,
    hair_share,
    lighten,
    limit_hue,
    limit_light,
    on_atlas,
)
from thcli.editors.atlas.removers.fringe import take_off_fringe
from thcli.editors.atlas.removers.lenses import check_lenses
from thcli.editors.atlas.removers.loading import split_tensors
from thcli.editors.atlas.removers.network import RemoverNet, create_networks, network_for
from thcli.editors.atlas.removers.parts import (
    COLUMNS,
    PARTS,
    ROWS,
    PartName,
    condition_row,
    eye_openings,
    mouth_opening,
    part_places,
    part_ramp,
    zone_mask,
)
from thcli.editors.atlas.removers.prior import Priors
from thcli.editors.atlas.removers.rims import take_off
from thcli.editors.atlas.removers.temples import take_off_temples
from thcli.editors.shared.face_mesh import mesh_of
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state
from thcli.weights.tensors import load_tensors

NAME = "removers-s"
SIDE = 512
REMOVED_AS: Mapping[str, str] = {
    "eyeglasses": "eyeglasses",
    "beard": "beard",
    "goatee": "beard",
    "stubble": "beard",
    "moustache": "beard",
    "makeup": "makeup",
    "lipstick": "makeup",
}
"""Attribute -> condition of the network; some are limited to a zone (`parts.zone_mask`)."""
FEMALE = "female"  # takes off a beard; its negative strength changes nothing
_PARTS: tuple[PartName, ...] = ("eyes", "lower")
_SEEN_RANGE = (0.3, 0.7)  # mean visibility: below the first the texture is not the face's own
_RIMS_SEEN = (0.1, 0.35)  # the same for rims: half a rim is worse than a little too much skin
_RIM_GRAIN = np.float32(0.4)  # share of the skin's grain below rims, which are thin


class RemoverPainter:
    """Painter that removes; strengths are negative, -1 removes all."""

    crop_size = SIDE
    template: Template = "ffhq"
    averaged_only = True
    attributes: Sequence[str] = (*REMOVED_AS, FEMALE)

    def __init__(self, networks: Mapping[RemoverNetwork, RemoverNet], priors: Priors) -> None:
        """Use networks in evaluation mode, and the prior of each part."""
        self._networks, self._priors = networks, priors

    def measure_appearance(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32
    ) -> Array32:
        """Unroll each face: (N, L) texture times visibility, and visibility, of both parts."""
        out = np.zeros((len(crops), measured.COUNT), np.float32)
        for row, crop, face, planes in zip(out, crops, faces, regions, strict=True):
            row[:] = measured.measure(crop, mesh_of(face), planes)
        return out

    def prepare(self, appearance: Array32, strengths: Mapping[str, float]) -> Removal | None:
        """Find what to remove from the clip's averaged texture; None when nothing is removed.

        Args:
            appearance: (L,) as measured.
            strengths: attribute -> strength, below 0; of female above 0.

        Raises:
            UsageError: for an attribute that it cannot remove, and dark glasses, which hide the
                eyes.
        """
        removals = _removals(strengths)
        if not removals:
            return None
        texture, shown_all = measured.unpack(appearance)
        weight = shown_all * (1 - measured.beside())
        known = _ramp(weight, _SEEN_RANGE)
        target, solid = texture.copy(), np.zeros((ROWS, COLUMNS), np.float32)
        gain = np.zeros((ROWS, COLUMNS, 3), np.float32)
        beside = np.zeros((ROWS, COLUMNS), np.float32)
        for name, strength in removals.items():
            if name not in REMOVED_AS or strength > 0:
                raise UsageError(
                    f"removers cannot add {name} to a face (strength {strength:g}).",
                    f"It removes {', '.join(REMOVED_AS)}: give a negative strength.",
                )
            if name == "eyeglasses":
                check_lenses(texture, measured.eyes_seen(appearance))
            condition = REMOVED_AS[name]
            for part in _PARTS:
                if condition not in PARTS[part].removes:
                    continue
                window = PARTS[part].window
                shown = _ramp(weight, _RIMS_SEEN) if condition == "eyeglasses" else known
                share = part_ramp(part) * zone_mask(name)[window] * shown[window]
                share *= np.float32(min(-strength, 1.0))
                bare, mask = self._remove(part, texture[window], weight[window], condition)
                if condition == "makeup":  # lets the skin through: nothing is replaced
                    mask = mask * (1 - mouth_opening()[window])
                    change = mask[..., None] * (bare - texture[window])
                    gain[window] += change * share[..., None]
                    continue
                bare = limit_light(bare, texture, weight, part)
                if condition == "eyeglasses":
                    closed = 1 - eye_openings()[window]
                    skin = weight[window] * closed
                    bare, covered, change = take_off(texture[window], bare, mask, skin)
                    bare = bare + _RIM_GRAIN * grain(texture, weight)[window]
                    covered = covered * closed
                else:
                    bare = limit_hue(bare, texture, weight, mask, window)
                    change = lighten(texture[window], bare, mask)
                    bare = bare + grain(texture, weight)[window]
                    covered = hair_share(change)
                target[window] += (share > 0)[..., None] * (bare - target[window])
                solid[window] = np.maximum(solid[window], covered * share)
                gain[window] += change * share[..., None]
                if condition == "eyeglasses":
                    rims = on_atlas(window, covered * shown[window])
                    temples = take_off_temples(texture, shown_all, rims)
                    free = 1 - on_atlas(window, part_ramp(part))
                    beside = temples.solid * free * np.float32(min(-strength, 1.0))
                    new = temples.target + _RIM_GRAIN * grain(texture, weight)
                    target += (beside > solid)[..., None] * (new - target)
        shaved = any(REMOVED_AS[name] == "beard" for name in removals)
        return Removal(texture, target, gain, solid, known, beside, shaved)

    def paint(
        self,
        crops: Sequence[Image],
        faces: Sequence[Face],
        regions: Array32,
        prepared: Removal | None,
    ) -> list[Painted]:
        """Apply a removal to crops.

        Args:
            crops: N crops.
            faces: one per crop, in its pixels.
            regions: (N, 19, S', S') probabilities.
            prepared: result of `prepare`.

        Raises:
            NoFaceError: for a face without a mesh.
        """
        if prepared is None:
            return [Painted(crop) for crop in crops]
        out = []
        for crop, face, planes in zip(crops, faces, regions, strict=True):
            mesh = mesh_of(face)
            removed = Painted(apply_removal(crop, mesh, planes, prepared))
            if prepared.shaved:
                removed = Painted(*take_off_fringe(crop, removed.image, mesh, planes))
            out.append(removed)
        return out

    def _remove(
        self, part: PartName, texture: Array32, weight: Array32, condition: str
    ) -> tuple[Array32, Array32]:
        """Return the bare face (height, width, 3) and the mask (height, width) of one part.

        The network sees the part and its mirror image; their mean has no preferred side. Make-up
        lets the skin through: its change is added to the texture, which keeps its detail.
        """
        network = self._networks[network_for(condition)]
        device = next(network.parameters()).device
        prior = self._priors[part].fit(part, texture, weight, condition)

        def batch(values: Array32) -> Tensor:
            both = np.stack([values, values[:, ::-1]]).astype(np.float32)
            planes = np.ascontiguousarray(np.moveaxis(both, -1, 1))
            return F.avg_pool2d(torch.from_numpy(planes), 2).to(device)

        place = torch.from_numpy(np.tile(part_places(part)[None], (2, 1, 1, 1)))
        row = torch.from_numpy(np.tile(condition_row(condition)[None], (2, 1)))
        with torch.inference_mode():
            coarse = batch(texture)
            found = network(
                coarse,
                batch(prior),
                batch(weight[..., None]),
                row.to(device),
                F.avg_pool2d(place, 2).to(device),
            )
            target = found.target - coarse if condition == "makeup" else found.target
        planes = torch.cat([target, found.mask], 1).cpu().numpy()
        mean = (planes[0] + planes[1][..., ::-1]) / 2
        spec = PARTS[part]
        full = cv2.resize(
            np.ascontiguousarray(np.moveaxis(mean, 0, -1)),
            (spec.width, spec.height),
            interpolation=cv2.INTER_LINEAR,
        )
        bare = full[..., :3] + texture if condition == "makeup" else full[..., :3]
        return np.ascontiguousarray(bare), np.ascontiguousarray(full[..., 3])


def _removals(strengths: Mapping[str, float]) -> dict[str, float]:
    """Return the strengths without female, which removes a beard."""
    removed = {name: strength for name, strength in strengths.items() if name != FEMALE}
    shaved = max(strengths.get(FEMALE, 0.0), 0.0)
    if shaved:
        removed["beard"] = min(removed.get("beard", 0.0), -shaved)
    return removed


def _ramp(values: Array32, limits: tuple[float, float]) -> Array32:
    """Return values as 0..1 between two limits."""
    low, high = limits
    return np.asarray(np.clip((values - low) / (high - low), 0, 1), np.float32)


def load(run: RunOptions) -> RemoverPainter:
    """Load the bundled network.

    Raises:
        WeightsError: absent, not the expected file, or refused by --licence.
        DeviceError: the device cannot be used.
    """
    return RemoverPainter(*load_networks(None, run))


def load_networks(
    path: Path | None, run: RunOptions
) -> tuple[dict[RemoverNetwork, RemoverNet], Priors]:
    """Load the networks of removers, in evaluation mode, and the priors.

    Args:
        path: file of `thcli train removers`; None: the bundled one.
        run: device, threads and licence.

    Raises:
        WeightsError: absent, not the expected file, or refused by --licence.
        DeviceError: the device cannot be used.
    """
    if path is None:
        check_licence(NAME, run.licence)
    what = NAME if path is None else path.name
    tensors = load_tensors(NAME if path is None else path, offline=run.offline)
    own, priors = split_tensors(tensors, what)
    networks, device = create_networks(), prepare_device(run.device, run.threads)
    for name, network in networks.items():
        load_state(network, own[name], what, device)
    return networks, priors


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the networks and the priors."""
    own, _ = split_tensors(load_tensors(checkpoint.path), checkpoint.name)
    for name, network in create_networks().items():
        load_state(network, own[name], checkpoint.name, torch.device("meta"))
