"""Table of the networks that run on a device: the case of each, and the files that it covers.

half: the backend computes in --precision fp16 and bf16 too; others are float32 whatever it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.devices import cases, more_cases


@dataclass(frozen=True)
class Row:
    """A case and the files of thcli whose networks it runs."""

    case: cases.Case
    files: tuple[str, ...]
    half: bool = False


ENGINE = "engines/shared/networks/"
REAL3D = (
    "blocks",
    "image_to_plane",
    "model",
    "motion_adapter",
    "planes",
    "resnet_aspp",
    "stylegan",
    "superresolution",
    "torso",
    "torso_motion",
    "transformer",
    "volume_renderer",
)
TABLE = {
    "fomm": Row(cases.run_fomm, ("engines/fomm/networks.py", f"{ENGINE}layers.py"), half=True),
    "monkeynet": Row(cases.run_monkeynet, ("engines/monkeynet/networks.py",), half=True),
    "x2face": Row(cases.run_x2face, ("engines/x2face/networks.py",), half=True),
    "facevid2vid": Row(
        cases.run_facevid2vid,
        (
            "engines/facevid2vid/estimator.py",
            "engines/facevid2vid/networks.py",
            f"{ENGINE}volume.py",
            f"{ENGINE}spade.py",
            f"{ENGINE}decoder.py",
        ),
        half=True,
    ),
    "facevid2vid-original": Row(
        cases.run_facevid2vid_original, ("engines/facevid2vid/networks.py",), half=True
    ),
    "liveportrait": Row(
        cases.run_liveportrait,
        ("engines/liveportrait/networks.py", "engines/liveportrait/observer.py"),
        half=True,
    ),
    "real3d-engine": Row(
        more_cases.run_real3d_engine,
        tuple(f"engines/real3d/{name}.py" for name in REAL3D),
        half=True,
    ),
    "fadm": Row(
        cases.run_fadm,
        ("refiners/fadm/network.py", "refiners/fadm/agcn.py", "refiners/fadm/blocks.py"),
        half=True,
    ),
    "fadm-s": Row(cases.run_fadm_s, ("refiners/fadm/alignment.py",), half=True),
    "resshift-s": Row(more_cases.run_resshift_s, ("refiners/resshift/network.py",), half=True),
    "restoration": Row(
        more_cases.run_restoration,
        tuple(
            f"refiners/restoration/{name}.py"
            for name in ("blocks", "autoencoder", "codeformer", "restoreformer", "gfpgan")
        ),
        half=True,
    ),
    "dva": Row(
        cases.run_dva,
        (
            "editors/dva/network.py",
            "editors/dva/encoder.py",
            "editors/dva/arcface.py",
            "editors/dva/landmarks.py",
            "editors/dva/parsing.py",
            "diffusion/unet.py",
            "diffusion/blocks.py",
        ),
        half=True,
    ),
    "dva-s": Row(cases.run_dva_s, ("editors/dva/small_network.py",), half=True),
    "clip-s": Row(
        cases.run_text_edit, ("editors/clip/network.py", "editors/shared/face_cnn.py"), half=True
    ),
    "removers": Row(more_cases.run_removers, ("editors/atlas/removers/network.py",)),
    "parse-s": Row(more_cases.run_parse_s, ("faces/parsing/network.py",), half=True),
    "identity-s": Row(more_cases.run_identity_s, ("faces/identity/network.py",)),
    "deca": Row(more_cases.run_deca, ("faces/model3d/deca.py", "faces/model3d/network.py")),
    "deep3d": Row(more_cases.run_deep3d, ("faces/model3d/deep3d.py",)),
    "tddfa": Row(more_cases.run_tddfa, ("faces/model3d/tddfa.py",)),
    "hubert": Row(more_cases.run_hubert, ("audio/hubert.py", "audio/weight_norm.py"), half=True),
    "a2m": Row(more_cases.run_a2m, ("voices/a2m/networks.py",)),
    "real3d": Row(more_cases.run_real3d, ("voices/real3d/networks.py",)),
    "dh-s": Row(more_cases.run_dh_s, ("voices/diffused_heads/network.py",)),
    "diffused-heads": Row(more_cases.run_diffused_heads, ("voices/diffused_heads/network.py",)),
    "set-metrics": Row(
        more_cases.run_set_metrics,
        (
            "evaluate/metrics/networks/i3d.py",
            "evaluate/metrics/networks/inception.py",
        ),
    ),
    "syncnet": Row(more_cases.run_syncnet, ("evaluate/metrics/networks/syncnet.py",)),
    "lpips": Row(more_cases.run_lpips, ("evaluate/metrics/networks/lpips.py",)),
    "judge": Row(more_cases.run_judge, ("editors/shared/face_cnn.py",)),
}
# Files with networks that no device runs, with the reason.
EXCLUDED = {
    f"engines/shared/fast_conv/{name}.py": "convolutions for CPUs alone (fast.prepare_network)"
    for name in ("enlarged", "few_outputs", "fft_conv", "winograd")
} | {
    "voices/diffused_heads/speech_encoder.py": "on the CPU always: a GRU over a few rows",
    "engines/mesh/patches/network.py": "on the CPU always: three small patches of its frames",
}
