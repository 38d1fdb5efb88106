"""Valid inputs that the fuzzer mutates, made by code; most are below 20 kB."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
import torch
from av.audio.stream import AudioStream
from PIL import Image as Pillow
from safetensors.torch import save_file

from tests.pipeline.face_clip import write_face_clip
from thcli import weights
from thcli.cli.app import run
from thcli.editors.edit_file import EditFile, save
from thcli.evaluate.datasets.sample_clip import photograph

SIDE = 96


@dataclass(frozen=True)
class Seed:
    """A valid input. kind: decides the commands that read it; name: with the file's ending."""

    kind: str
    name: str
    content: bytes


@dataclass(frozen=True)
class Kit:
    """Files that the commands need beside the fuzzed one."""

    face: Path
    clip: Path
    crops: Path
    motion: Path


def make_kit(folder: Path) -> Kit:
    """Make the companions in a folder."""
    face, clip = folder / "face.png", folder / "clip.mp4"
    Pillow.fromarray(photograph()[10:266, 95:351]).resize((160, 160)).save(face)
    write_face_clip(clip, 3, size=SIDE)
    kit = Kit(face, clip, folder / "crops.mp4", folder / "a.motion.safetensors")
    _require(["crop", str(clip), "-o", str(kit.crops), "--size", "64", "-q"])
    _require(["encode", str(clip), "-o", str(kit.motion), "-q"])
    return kit


def make_seeds(folder: Path, kit: Kit) -> list[Seed]:
    """Make the seeds of every kind; files are written below a folder."""
    return [
        *_videos(folder, kit),
        *_images(folder, kit),
        *_sounds(folder),
        Seed("motion", "a.motion.safetensors", kit.motion.read_bytes()),
        *_streams(folder),
        Seed("crops", "a.crops.safetensors", _placements(kit).read_bytes()),
        Seed("edit", "a.edit.safetensors", _edit_file(folder)),
        *_weights(folder),
        Seed("config", "a.toml", b"seed = 3\n[compare]\ncrf = 30.0\nfps = 10\n"),
        Seed("config", "b.toml", b'seed = 3\ncrf = 30.0\noverwrite = true\nselect = "first"\n'),
    ]


def _require(argv: list[str]) -> None:
    if run(argv) != 0:
        raise RuntimeError(f"a seed cannot be made: {' '.join(argv)}")


def _videos(folder: Path, kit: Kit) -> list[Seed]:
    seeds = []
    for name in ("a.mp4", "a.mkv", "a.avi"):
        write_face_clip(folder / name, 3, size=SIDE, tone=name != "a.avi")
        seeds.append(Seed("video", name, (folder / name).read_bytes()))
    for name in ("a.webm", "a.gif", "a.webp"):
        _require(
            [
                "compare",
                str(kit.clip),
                str(kit.clip),
                "-o",
                str(folder / name),
                "--height",
                "64",
                "-q",
            ]
        )
        seeds.append(Seed("video", name, (folder / name).read_bytes()))
    return seeds


def _images(folder: Path, kit: Kit) -> list[Seed]:
    seeds = []
    image = Pillow.open(kit.face).convert("RGB").resize((SIDE, SIDE))
    for name in ("a.png", "a.jpg", "a.webp", "a.bmp", "a.tif", "a.ppm", "a.gif"):
        image.save(folder / f"still-{name}")
        seeds.append(Seed("image", name, (folder / f"still-{name}").read_bytes()))
    frames = [image, image.rotate(5)]
    frames[0].save(folder / "a.apng.png", save_all=True, append_images=frames[1:], duration=40)
    seeds.append(Seed("image", "b.png", (folder / "a.apng.png").read_bytes()))
    return seeds


def _sounds(folder: Path) -> list[Seed]:
    seeds = []
    wave = (np.sin(np.arange(8000) * 0.2) * 9000).astype(np.int16)[None]
    for name, codec in (("a.wav", "pcm_s16le"), ("a.flac", "flac"), ("a.ogg", "flac")):
        with av.open(str(folder / name), "w") as file:
            stream = cast(AudioStream, file.add_stream(codec, rate=16000, layout="mono"))
            frame = av.AudioFrame.from_ndarray(wave, "s16", "mono")
            frame.sample_rate, frame.pts = 16000, 0
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        seeds.append(Seed("sound", name, (folder / name).read_bytes()))
    return seeds


def _streams(folder: Path) -> list[Seed]:
    """Return streams of motion: of a known picture with sound, and with the picture."""
    write_face_clip(folder / "talk.mp4", 3, size=SIDE, tone=True)
    seeds = []
    for name, words in (("a.thc", []), ("b.thc", ["--key-frame", "image"])):
        _require(["transmit", str(folder / "talk.mp4"), "-o", str(folder / name), *words, "-q"])
        seeds.append(Seed("stream", name, (folder / name).read_bytes()))
    return seeds


def _placements(kit: Kit) -> Path:
    (found,) = kit.crops.parent.glob("*.crops.*")
    return found


def _edit_file(folder: Path) -> bytes:
    path = folder / "a.edit.safetensors"
    save(path, EditFile({"beard": 1.0, "smiling": 0.5}))
    return path.read_bytes()


def _weights(folder: Path) -> list[Seed]:
    state = {"kp.weight": torch.arange(6.0).reshape(2, 3), "kp.bias": torch.zeros(2)}
    save_file(state, folder / "w.safetensors")
    torch.save({"kp_detector": state, "epoch": 3}, folder / "w.pth")
    torch.save({"kp_detector": state}, folder / "old.pth", _use_new_zipfile_serialization=False)
    (folder / "w.pkl").write_bytes(
        pickle.dumps({"mean": np.zeros(62, np.float32), "std": np.ones(62, np.float32)})
    )
    return [
        Seed("weights", "a2m-s.safetensors", (folder / "w.safetensors").read_bytes()),
        Seed("weights", "monkeynet.pth", (folder / "w.pth").read_bytes()),
        Seed("weights", "fomm-vox.tar", (folder / "old.pth").read_bytes()),
        Seed("weights", "tddfa-mean-std.pkl", (folder / "w.pkl").read_bytes()),
        Seed("weights", "diffused-heads.zip", (folder / "w.pth").read_bytes()),
        Seed("weights", "clip-vit-b32.pt", (folder / "w.pth").read_bytes()),
        Seed("weights", "yunet.onnx", b"\x08\x07\x12\x07pytorch\x3a\x02\x12\x00" * 3),
        Seed("weights", "blazeface-short.tflite", weights.locate("blazeface-short").read_bytes()),
        Seed("weights", "dva.json", json.dumps({"a": 1}).encode()),
    ]
