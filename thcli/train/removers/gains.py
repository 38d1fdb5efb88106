"""`thcli eval removers`: what removal gains on painted faces, whose bare faces are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thcli.core.events import Listener, Warned, silent
from thcli.core.options import RemoverNetwork, RunOptions
from thcli.core.temp_folders import temporary_folder
from thcli.editors.atlas.removers.network import RemoverNet, network_for
from thcli.editors.atlas.removers.painter import load_networks
from thcli.editors.atlas.removers.parts import PARTS, PartName
from thcli.evaluate.datasets.labelled_images import LabelledImages
from thcli.train.data.face_tools import FaceTools
from thcli.train.removers.batches import RemoverBatches
from thcli.train.removers.pairs import BARE, select_faces, store_pairs
from thcli.train.removers.train import run_network, to_colours

_AT_ONCE = 8  # faces


@dataclass(frozen=True, slots=True)
class RemoverGain:
    """Gain in PSNR (dB) over doing nothing, of what is painted on bare faces.

    part: eyes or lower. attribute: what is removed. faces: number. gain: mean over the faces.
    larger: mean over the half of them that the paint changes more.
    """

    part: PartName
    attribute: str
    faces: int
    gain: float
    larger: float


def evaluate_removers(
    images: LabelledImages,
    weights: Path | None,
    pictures: int,
    run: RunOptions,
    on: Listener = silent,
) -> list[RemoverGain]:
    """Paint the bare faces among labelled images and measure how well removers take it off.

    Args:
        images: faces of persons whom the removers did not see.
        weights: of `thcli train removers`; None: the bundled ones.
        pictures: most bare faces.
        run: device, threads and licence.
        on: receives progress events.

    Raises:
        MediaError: no bare face is usable, or an image cannot be read.
        OutputError: the painted faces do not fit into TMPDIR.
        WeightsError: the weights are absent or not of removers.
    """
    networks, priors = load_networks(weights, run)
    chosen, kinds = select_faces(images, pictures)
    bare = np.flatnonzero(np.array(kinds) == BARE)
    with temporary_folder() as folder:
        pairs = store_pairs(
            chosen.at(bare), [BARE] * len(bare), folder, lambda: FaceTools.load(run, True), on
        )
        usable = len(pairs.rows(BARE))
        if usable < pictures:
            on(Warned(f"Only {usable} bare faces are usable; --pictures asks for {pictures}."))
        data = RemoverBatches(pairs, _AT_ONCE, 0, flip=False, priors=priors, held_out=usable)
        return psnr_gains(networks, data)


def psnr_gains(
    networks: Mapping[RemoverNetwork, RemoverNet], data: RemoverBatches
) -> list[RemoverGain]:
    """Return the gain on the held-out faces for each part and attribute.

    It is measured in colours, where the face is visible.
    """
    out = []
    for part, spec in PARTS.items():
        for name in spec.removes:
            network, errors = networks[network_for(name)], np.zeros((2, 0))
            device = next(network.parameters()).device
            for first in range(0, data.held_out, _AT_ONCE):
                batch = data.held_out_batch(part, name, _AT_ONCE, first)
                batch = {key: value.to(device) for key, value in batch.items()}
                with torch.inference_mode():
                    found = run_network(network, batch)
                truth, seen = to_colours(batch["bare"]), batch["weight"]
                both = [
                    (((to_colours(one) - truth) ** 2) * seen).sum((1, 2, 3)).cpu().numpy()
                    for one in (batch["worn"], found.apply(batch["worn"]))
                ]
                errors = np.concatenate([errors, np.stack(both)], 1)
            gains = 10 * np.log10(errors[0].clip(1e-9) / errors[1].clip(1e-9))
            larger = np.argsort(-errors[0], kind="stable")[: (len(gains) + 1) // 2]
            mean, upper = (round(float(one.mean()), 2) for one in (gains, gains[larger]))
            out.append(RemoverGain(part, name, len(gains), mean, upper))
    return out


def report(gains: Sequence[RemoverGain]) -> dict[str, Any]:
    """Return the values for JSON: faces, and the gains by part and attribute."""
    by_part: dict[str, dict[str, Any]] = {}
    for one in gains:
        values = {"gain": one.gain, "larger": one.larger}
        by_part.setdefault(one.part, {})[one.attribute] = values
    return {"faces": max((one.faces for one in gains), default=0), "gains": by_part}


def table(gains: Sequence[RemoverGain]) -> tuple[list[str], list[list[str]]]:
    """Return heading and lines for people."""
    lines = [
        [one.part, one.attribute, str(one.faces), f"{one.gain:.2f}", f"{one.larger:.2f}"]
        for one in gains
    ]
    return ["part", "removed", "faces", "PSNR gain, dB ↑", "larger half, dB ↑"], lines
