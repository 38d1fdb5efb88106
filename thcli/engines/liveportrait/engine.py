"""LivePortrait as an engine: motion kind "liveportrait".

Rows: angles (3,) pitch yaw roll in degrees, shift (3,), scale (1,), expression (21, 3), canonical (21, 3), and openings (3,) of left
eye, right eye and lips (gap / width; -1 where the face had no landmarks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from thcli.core.errors import NoFaceError
from thcli.core.options import (
    LivePortraitOptions,
    MotionOptions,
    RenderOptions,
    RunOptions,
    Template,
    ViewOptions,
)
from thcli.core.protocols import MotionStore
from thcli.core.types import Array32, Face, Frame, Image, Motion
from thcli.engines.liveportrait.mask import soft_mask
from thcli.engines.liveportrait.networks import Encoded, Networks
from thcli.engines.liveportrait.observer import KEYPOINTS, OWN, Observed
from thcli.engines.liveportrait.ratios import OPENINGS, openings_of
from thcli.engines.liveportrait.retargeting import Corrections
from thcli.engines.liveportrait.transfer import (
    Gains,
    Moves,
    absolute,
    relative,
    relative_to_rest,
    turned,
)
from thcli.engines.liveportrait.video import Followed
from thcli.engines.shared.motion_rows import Clip, Rows
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.engines.shared.networks.checkpoint import without_spectral_norm
from thcli.engines.shared.networks.engine import (
    CropEngine,
    CropSource,
    images_from_tensor,
    points_of,
)
from thcli.weights.tensors import load_tensors

CROP = 512

# In the order of `Networks`: entry of weights.toml, what stands before the file's keys.
FILES = (
    ("liveportrait-appearance", ""),
    ("liveportrait-motion", ""),
    ("liveportrait-warping", ""),
    ("liveportrait-spade", ""),
    ("liveportrait-stitching", "retarget_shoulder."),
    ("liveportrait-stitching", "retarget_mouth."),
    ("liveportrait-stitching", "retarget_eye."),
)


class LivePortraitEngine(CropEngine):
    """Relative: what changed since the reference frame is added to the source's pose and expression. Absolute: the driver's own.

    Crops are `faces.crops.align.liveportrait`'s; the networks look at them at 256 x 256 and paint 512 x 512.  view: degrees by which the
    driving head (the source's own, when a single picture drives) is turned further.
    """

    motion_kind = "liveportrait"
    crop_size = CROP
    template: Template = "liveportrait"

    def __init__(
        self,
        networks: Networks,
        run: RunOptions,
        options: LivePortraitOptions | None = None,
        view: ViewOptions | None = None,
    ) -> None:
        shapes = {
            "angles": (3,),
            "shift": (3,),
            "scale": (1,),
            "expression": (KEYPOINTS, 3),
            OWN: (KEYPOINTS, 3),
        }
        super().__init__(run, shapes)
        self.appearance, self.observer = (
            self.ready(networks.appearance),
            self.ready(networks.observer),
        )
        self.warping, self.generator = self.ready(networks.warping), self.ready(networks.generator)
        self.corrections = Corrections(networks.stitching, networks.lips, networks.eyes)
        self.options, view = options or LivePortraitOptions(), view or ViewOptions()
        self.turn = np.array([view.pitch, view.yaw, view.roll], np.float32)

    @property
    def mask(self) -> Image:
        """(512, 512) uint8: how much of a rendered crop shows in its frame; for `faces.compositing.paste`."""
        return soft_mask(CROP)

    def look(self, pictures: Tensor) -> dict[str, Tensor]:
        return _rows(self.observer(pictures))

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        motion = super().observe(frames, faces)
        openings = np.stack(
            [np.zeros(3, np.float32) if face is None else openings_of(face) for face in faces]
        )
        return replace(motion, arrays={**motion.arrays, OPENINGS: openings})

    def encode_source(self, picture: Image, face: Face) -> CropSource:
        """picture: the (512, 512, 3) crop, or any other size.  face: in the crop's pixels, for its landmarks."""
        with self.computing():
            pixels = self.tensor([picture])
            rows = self.look(pixels)
            encoded = self.encode(pixels, rows)
        own = {**_host(rows), OPENINGS: openings_of(face)[None]}
        return CropSource(encoded, own, points_of(face), (CROP, CROP))

    def encode(self, picture: Tensor, rows: dict[str, Tensor]) -> Encoded:
        own = _host(rows)
        keypoints = torch.from_numpy(Moves.of(own).place(own[OWN])).to(self.device)
        return self.warping.encode(self.appearance.volume(picture), keypoints)

    def carrier(
        self, source: CropSource, clip: Clip, options: MotionOptions
    ) -> Callable[[Rows], Rows]:
        """Raises NoFaceError where eyes or lips shall be retargeted and a face shows none."""
        own, canonical = Moves.of(source.rows), source.rows[OWN]
        still = own.place(canonical)
        gains = Gains(options.region, options.pose, options.expression)
        is_relative, mine = options.mode == "relative", source.rows[OPENINGS]
        first = Moves.of(clip.row(clip.best_frame(source.landmarks)))
        self._check_openings(mine, clip)

        def moves(rows: Rows) -> Moves:
            if is_relative and len(clip) == 1:
                return relative_to_rest(self._turned(source.rows), Moves.of(rows), gains)
            driving = self._turned(rows)
            return (
                relative(own, driving, first, gains)
                if is_relative
                else absolute(own, driving, gains)
            )

        def carry(rows: Rows) -> Rows:
            moved = moves(rows).place(canonical)
            out = self.corrections.apply(
                still, moved, (mine, rows[OPENINGS]), self.options, relative=is_relative
            )
            return {"keypoints": still + np.float32(options.strength) * (out - still)}

        return carry

    def paint(self, encoded: Encoded, rows: dict[str, Tensor]) -> Tensor:
        return self.generator(self.warping(encoded, rows["keypoints"]))  # type: ignore[no-any-return]  # torch's modules return Any

    def follow(self, own: MotionStore, driving: MotionStore, options: MotionOptions) -> Followed:
        """A clip as the source. own: its motion, each frame in a crop of its own.  The rest as in `retarget`.

        Raises what `retarget` raises, for both clips.
        """
        mine = Clip(own, self.motion_kind, 0)
        clip = Clip(driving, self.motion_kind, options.smooth, causal=options.causal)
        self._check_openings(mine.row(int(mine.seen[0]))[OPENINGS], clip)
        return Followed(mine, clip, self.corrections, self.options, options, self.turn)

    def repaint(self, crops: Sequence[Image], motion: Motion) -> list[Image]:
        """crops: of the source clip, (512, 512, 3) or any other size.  motion: what `follow` gave for them."""
        out: list[Image] = []
        for start in range(0, len(crops), self.batch):
            part = slice(start, start + self.batch)
            own, there = (
                torch.from_numpy(np.asarray(motion.arrays[n][part], np.float32))
                for n in ("own", "keypoints")
            )
            with self.computing():
                volume = self.appearance.volume(self.tensor(crops[part]))
                encoded = self.warping.encode(volume, own.to(self.device))
                out += images_from_tensor(self.paint(encoded, {"keypoints": there.to(self.device)}))
        return out

    def _turned(self, rows: Rows) -> Moves:
        return turned(rows, self.turn)

    def _check_openings(self, mine: Array32, clip: Clip) -> None:
        wanted = self.options.retarget_eyes or self.options.retarget_lips
        opened = self.options.close_lips or self.options.keep_eyes
        theirs = clip.row(int(clip.seen[0]))[OPENINGS]
        if (wanted and min(mine.min(), theirs.min()) < 0) or (opened and mine.min() < 0):
            raise NoFaceError(
                "Eyes and lips cannot be retargeted: the faces have no landmarks.",
                "Use another --landmarker.",
            )


def _rows(seen: Observed) -> dict[str, Tensor]:
    expression = seen.expression.view(-1, KEYPOINTS, 3)
    own = seen.canonical.view(-1, KEYPOINTS, 3)
    return {
        "angles": seen.angles(),
        "shift": seen.shift,
        "scale": seen.scale,
        "expression": expression,
        OWN: own,
    }


def _host(rows: dict[str, Tensor]) -> Rows:
    return {name: row.float().cpu().numpy() for name, row in rows.items()}


def load(run: RunOptions, options: RenderOptions | None = None) -> LivePortraitEngine:
    """The published networks. Raises WeightsError when they are not here or are other models'."""
    parts = [load_tensors(name, prefix=prefix, offline=run.offline) for name, prefix in FILES]
    options = options or RenderOptions()
    return LivePortraitEngine(assemble(parts), run, options.liveportrait, options.view)


def assemble(parts: Sequence[Mapping[str, Tensor]], *, narrow: int = 1) -> Networks:
    """Networks of the published states, in the order of FILES. Raises WeightsError naming keys that do not fit."""
    plain = [{key.replace("module.", ""): tensor for key, tensor in part.items()} for part in parts]
    plain[3] = without_spectral_norm(plain[3], FILES[3][0])
    names = (name for name, _ in FILES)
    return Networks._make(
        load_state(n, p, w)
        for n, p, w in zip(Networks.new(narrow=narrow), plain, names, strict=True)
    )
