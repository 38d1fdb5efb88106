"""Stages of LivePortrait's keypoints: its options on five frames, stitching and retargeting."""

from __future__ import annotations

import numpy as np

from tests.golden.liveportrait_inputs import GoldenInputs
from thcli.core.options import LivePortraitOptions
from thcli.core.types import Array32
from thcli.engines.liveportrait import video
from thcli.engines.liveportrait.ratios import openings
from thcli.engines.liveportrait.retargeting import RetargetingNetworks
from thcli.engines.liveportrait.transfer import (
    HeadMotion,
    TransferGains,
    transfer_absolute,
    transfer_relative,
    transfer_relative_to_rest,
)
from thcli.engines.shared.networks.keypoints import movement_scale

Case = tuple[TransferGains, LivePortraitOptions, bool]


class KeypointPipeline:
    """Keypoints of every frame under the reference's options."""

    def __init__(self, given: GoldenInputs, corrections: RetargetingNetworks):
        self.retargeting = corrections
        self.driving, _, self.driven = given.rows(50)
        self.own, self.canonical, _ = given.rows(60)
        self.openings = np.stack([openings(given.points(20 + i)) for i in range(5)])

    def image(self, case: Case, frames: int = 5, strength: float = 1.0) -> Array32:
        gains, options, is_relative = case
        own, driving = (
            HeadMotion(*(a[:n] for a in m)) for m, n in ((self.own, 1), (self.driving, frames))
        )
        still = own.keypoints(self.canonical[:1])
        if not is_relative:
            moves = transfer_absolute(own, driving, gains)
        elif frames > 1:
            moves = transfer_relative(own, driving, HeadMotion(*(a[:1] for a in driving)), gains)
        else:
            moves = transfer_relative_to_rest(own, driving, gains)
        given = (self.openings[:1], self.driven[:frames])
        moved = moves.keypoints(self.canonical[:1])
        out = self.retargeting.apply(still, moved, given, options, relative=is_relative)
        return still + np.float32(strength) * (out - still)

    def video(self, case: Case, frames: int = 5, *, awake: bool = False) -> Array32:
        gains, options, is_relative = case
        driving = HeadMotion(*(a[:frames] for a in self.driving))
        still = self.own.keypoints(self.canonical)
        moved = video.transfer_to_video(self.own, driving, gains, relative=is_relative).keypoints(
            self.canonical
        )
        extra_offsets = (
            video.eye_opening_offsets(self.retargeting, still, self.openings) if awake else None
        )
        given = (self.openings, self.driven[:frames])
        return self.retargeting.apply(
            still, moved, given, options, relative=is_relative, extra_offsets=extra_offsets
        )

    def stages(self) -> dict[str, Array32]:
        plain, loose = LivePortraitOptions(), LivePortraitOptions(stitching=False)
        eyes, both = (
            LivePortraitOptions(retarget_eyes=True),
            LivePortraitOptions(retarget_eyes=True, retarget_lips=True),
        )
        closed, whole = LivePortraitOptions(close_lips=True), TransferGains()
        both_loose = LivePortraitOptions(stitching=False, retarget_eyes=True, retarget_lips=True)
        default = self.image((whole, plain, True))
        out = {
            "default/x_d": default,
            "default/x_s": np.repeat(
                HeadMotion(*(a[:1] for a in self.own)).keypoints(self.canonical[:1]), 5, 0
            ),
            "pose_friendly/x_d": default,  # the same to 2e-7
            "absolute/x_d": self.image((whole, plain, False)),
            "rel_lip_expr/x_d": self.image((TransferGains("lips"), plain, True)),
            "no_stitch/x_d": self.image((whole, loose, True)),
            "multiplier_1.5/x_d": self.image((whole, plain, True), strength=1.5),
            "normalize_lip/x_d": self.image((whole, closed, True)),
            "normalize_lip_no_stitch/x_d": self.image(
                (whole, LivePortraitOptions(stitching=False, close_lips=True), True)
            ),
            "eye_retarget/x_d": self.image((whole, eyes, True)),
            "eye_lip_retarget/x_d": self.image((whole, both, True)),
            "abs_eye_lip_retarget_no_stitch/x_d": self.image((whole, both_loose, False)),
            "image_driven/x_d": self.image((whole, plain, True), 1),
            "image_driven_eyes/x_d": self.image((TransferGains("eyes"), plain, True), 1),
            "image_driven_abs/x_d": self.image((whole, plain, False), 1),
            "video_default/x_d": self.video((whole, plain, True)),
            "video_default/x_s": self.own.keypoints(self.canonical),
            "video_absolute/x_d": self.video((whole, plain, False)),
            "video_eye_fix/x_d": self.video((whole, closed, True), awake=True),
            "video_image_driven/x_d": self.video((whole, plain, True), 1),
            "video_image_driven_abs/x_d": self.video((whole, plain, False), 1),
        }
        short = {
            "exp": TransferGains("expression"),
            "pose": TransferGains("pose"),
            "lip": TransferGains("lips"),
            "eyes": TransferGains("eyes"),
        }
        for name, gains in short.items():
            out[f"rel_{name}/x_d"] = self.image((gains, plain, True))
            out[f"abs_{name}/x_d"] = self.image((gains, plain, False))
            if name != "eyes":
                out[f"video_{name}/x_d"] = self.video((gains, plain, True))
        return {f"pipe/{name}": points for name, points in out.items()}


def correction_stages(
    given: GoldenInputs, corrections: RetargetingNetworks, still: Array32, moved: Array32
) -> dict[str, Array32]:
    eyes, lips = (
        np.abs(given.normal(4, 1, 3)) * np.float32(0.3),
        np.abs(given.normal(5, 1, 2)) * np.float32(0.1),
    )
    return {
        "S/stitch_raw": corrections.stitching_output(still, moved),
        "S/stitched": corrections.stitch(still, moved),
        "S/eye_delta": corrections.eye_offsets(still, eyes[:, :2], eyes[:, 2:]),
        "S/lip_delta": corrections.lip_offsets(still, lips[:, :1], lips[:, 1:]),
        "S/motion_multiplier": np.array([movement_scale(still[0], moved[0])], np.float32),
    }
