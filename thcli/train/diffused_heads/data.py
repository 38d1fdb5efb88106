"""Training data of Diffused Heads: small stabilised face crops with their measured articulation.

Clips come from `thcli prepare` with their motion files. They are cropped once into a folder of the
dataset; batches read it through a memory map.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from thcli import media
from thcli.audio.read import start_time
from thcli.audio.speech import Recording
from thcli.core.errors import MediaError
from thcli.core.events import Finished, Listener, Started, Step, Warned, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import TrainOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array, Array32, Crop
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks.topology import LIPS_OUTER
from thcli.media.failures import to_output_error
from thcli.motion.canonical import neutral, unpack_pose
from thcli.motion.file.reader import MotionFile
from thcli.train.data.batches import Batch, stack_batch
from thcli.train.data.dataset import ClipEntry, compute_fingerprint, list_clips
from thcli.train.data.disk_arrays import create_arrays
from thcli.voices.diffused_heads.articulation import encode_articulation, measure_face, mirror_codes
from thcli.voices.diffused_heads.speech_codes import RATE

LAYOUT = 2  # version of the crop folder; a change crops the dataset again
MARGIN = 6  # pixels on every side, for random shifts
SMOOTHING = 1.0  # standard deviation of the Gaussian over the crop's path in frames: tracker jitter
SAMPLE_STEP = 2**31 - 1  # step number of the sample batch
# Share of the items with true previous frames; with more of them the network copies their lips
# and ignores the code.
TRUE_MOTION = 0.1
UNIFORM = 0.3  # share of the frame pairs drawn regardless of the lips
MIN_FRAMES = 8  # of a usable clip
HINT = "Make clips with: thcli prepare VIDEOS -o DATASET"


@dataclass(frozen=True)
class CroppedClips:
    """All clips, concatenated.

    frames: (N, S, S, 3) uint8 on disk. begins: (C + 1,) first frame of each clip.
    rows: (N, 12) measured articulation. lips: (N, 4) box of the lips in pixels.
    heard: (N, C) audio embeddings, None without them.
    """

    frames: npt.NDArray[np.uint8]
    begins: npt.NDArray[np.int64]
    rows: Array
    lips: Array32
    heard: Array32 | None = None


@dataclass(frozen=True, slots=True)
class CropMethod:
    """Settings of the conversion of clips.

    place: crop placement from landmarks and size. listen: audio to embeddings (T, C) at RATE rows
    per second, None without audio. name: suffix of the crop folder.
    """

    place: Callable[[Array, int], Crop] = align.close
    listen: Callable[[Speech], Iterator[Array32]] | None = None
    name: str = ""


CLOSE_CROP = CropMethod()


def crop_clips(
    folder: Path, size: int, on: Listener = silent, method: CropMethod = CLOSE_CROP
) -> CroppedClips:
    """Return the dataset's clips cropped to faces of size + 2 MARGIN pixels.

    The crops are read from disk, or made now.

    Raises:
        MediaError: No clip has a tracked face.
        OutputError: The folder cannot be written.
    """
    found = list_clips(folder, on)
    crop_folder = folder / f".talking-{size}{method.name}"
    facts = {"layout": LAYOUT, "data": compute_fingerprint(found)}
    note = crop_folder / "facts.json"
    if not note.is_file() or json.loads(note.read_text("utf-8")) != facts:
        _write_crops(found, crop_folder, size + 2 * MARGIN, on, method)
        note.write_text(json.dumps(facts), "utf-8")
    with np.load(crop_folder / "rows.npz") as rows:
        return CroppedClips(
            np.load(crop_folder / "frames.npy", mmap_mode="r"),
            **{name: rows[name] for name in rows.files},
        )


def _write_crops(
    found: list[ClipEntry], folder: Path, side: int, on: Listener, method: CropMethod
) -> None:
    usable = [clip for clip in found if clip.motion is not None]
    total = sum(len(MotionFile(clip.motion)) for clip in usable if clip.motion)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    except OSError as exc:
        raise to_output_error(folder, exc) from exc
    shape = (max(total, 1), side, side, 3)
    (frames,) = create_arrays({folder / "frames.npy": (shape, np.uint8)})
    began = time.perf_counter()
    on(Started("cut", len(usable), "clips"))
    begins, tables = [0], []
    for number, clip in enumerate(usable):
        try:
            table = _crop_clip(clip, side, method)
        except MediaError as exc:
            on(Warned(f"{clip.path.name} is left out. {exc.message}"))
            continue
        count = len(table["rows"])
        frames[begins[-1] : begins[-1] + count] = table.pop("images")
        begins.append(begins[-1] + count)
        tables.append(table)
        on(Step("cut", number + 1))
    frames.flush()
    if not tables:
        shutil.rmtree(folder, ignore_errors=True)
        raise MediaError(
            "None of the clips has a tracked face (and sound, where it is needed).", HINT
        )
    joined: dict[str, Any] = {
        name: np.concatenate([table[name] for table in tables]) for name in tables[0]
    }
    np.savez(folder / "rows.npz", begins=np.array(begins), **joined)
    on(Finished("cut", len(tables), time.perf_counter() - began))


def _crop_clip(clip: ClipEntry, side: int, method: CropMethod) -> dict[str, Any]:
    """Return one clip's crops and articulation.

    Raises:
        MediaError: The face is not tracked in all frames.
    """
    assert clip.motion is not None
    motion = MotionFile(clip.motion)
    rows = motion.window(0, len(motion))
    if motion.kind != "mesh" or len(rows) < MIN_FRAMES or not rows.valid.all():
        raise MediaError("Its motion is too short, has gaps, or is not mesh motion.")
    shape = rows.arrays["expression"].astype(np.float64) + neutral()
    pose = np.asarray(rows.arrays["pose"], np.float64)
    width, height = (int(v) for v in motion.constants["size"])
    smoothed = gaussian_filter1d(pose, SMOOTHING, axis=0, mode="nearest")
    rest = np.broadcast_to(np.median(shape, axis=0), shape.shape)
    stable_meshes = unpack_pose(smoothed, rest, (width, height)).mesh()
    meshes = unpack_pose(pose, shape, (width, height)).mesh()
    images, lips, times = [], [], []
    with media.read(clip.path) as reader:
        for frame, stable, mesh in zip(reader, stable_meshes, meshes, strict=False):
            placement = widen_crop(method.place(stable, side - 2 * MARGIN), MARGIN)
            times.append(Fraction(frame.pts) * frame.time_base)
            images.append(np.asarray(crop(to_uint8(frame.pixels), placement), np.uint8))
            matrix = placement.crop_from_frame
            mouth = mesh[LIPS_OUTER, :2] @ matrix[:2, :2].T + matrix[:2, 2]
            lips.append(np.concatenate([mouth.min(0), mouth.max(0)]))
    if len(images) != len(rows):
        raise MediaError("Its motion file has another number of frames.")
    out = {
        "images": np.stack(images),
        "rows": measure_face(shape, pose[:, :3]),
        "lips": np.array(lips, np.float32),
    }
    if method.listen is not None:
        wav = clip.path.with_suffix(".wav")
        source = wav if wav.is_file() else clip.path
        heard = np.concatenate(list(method.listen(Recording(source))))
        index = [round((time - start_time(source)) * RATE) for time in times]
        out["heard"] = heard[np.clip(index, 0, len(heard) - 1)]
    return out


def widen_crop(placement: Crop, margin: int) -> Crop:
    """Return the crop with `margin` more pixels on every side."""
    matrix = placement.crop_from_frame.copy()
    matrix[:2, 2] += margin
    width, height = placement.size
    return Crop(matrix, (width + 2 * margin, height + 2 * margin))


class TalkingFaceBatches:
    """Batches of target frames with the network's inputs.

    target, identity: (B, 3, S, S) in [-1, 1]. motion: (B, 6, S, S) in [-1, 1], oldest first.
    codes: (B, 5, 12) articulation of the frames around the target. lips: (B, 4) box in pixels.
    heard: (B, 5, C) audio embeddings, where the clips have them.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        batch: int,
        around: int,
        on: Listener = silent,
        method: CropMethod = CLOSE_CROP,
    ) -> None:
        self.clips = crop_clips(folder, options.size, on, method)
        self._options, self._batch, self._around = options, batch, around
        self._count = len(self.clips.begins) - 1
        self._fingerprint = compute_fingerprint(list_clips(folder))

    def __len__(self) -> int:
        return self._count

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def close(self) -> None:
        """Do nothing: the memory map is closed with its last array."""

    def batch(self, step: int) -> Batch:
        rng = np.random.default_rng([self._options.seed, step, 7])
        clips = rng.integers(self._count, size=self._batch)
        items = [self._item(int(clip), rng, augment=True) for clip in clips]
        return stack_batch(items)

    def sample_batch(self, most: int = 6) -> Batch:
        """Return the fixed items of the sample sheets, from clips spread over the dataset."""
        rng = np.random.default_rng([self._options.seed, SAMPLE_STEP])
        chosen = np.linspace(0, self._count - 1, min(most, self._count)).astype(int)
        return stack_batch([self._item(int(clip), rng, augment=False) for clip in chosen])

    def _choose_frames(self, begin: int, end: int, rng: np.random.Generator) -> tuple[int, int]:
        """Return identity and target frame.

        Portraits have closed lips and speech opens them. For dh-s such pairs are more frequent than
        by chance.
        """
        frames = begin + rng.choice(end - begin, 6, replace=False)
        if self.clips.heard is not None or rng.random() < UNIFORM:
            return int(frames[0]), int(frames[1])
        gaps = self.clips.rows[frames, 0]
        return int(frames[:4][gaps[:4].argmin()]), int(frames[4:][gaps[4:].argmax()])

    def _item(self, clip: int, rng: np.random.Generator, *, augment: bool) -> dict[str, Array32]:
        begin, end = int(self.clips.begins[clip]), int(self.clips.begins[clip + 1])
        identity, target = self._choose_frames(begin, end, rng)
        previous = [identity if target - back < begin else target - back for back in (2, 1)]
        if self.clips.heard is None and rng.random() >= TRUE_MOTION:
            previous = [identity, identity]
        around = np.arange(target - self._around, target + self._around + 1)
        window = np.clip(around, begin, end - 1)
        codes = encode_articulation(self.clips.rows[window], self.clips.rows[identity])
        x, y = rng.integers(0, 2 * MARGIN + 1, 2) if augment else (MARGIN, MARGIN)
        side = self._options.size
        frames = np.stack([self.clips.frames[i] for i in (target, identity, *previous)])
        images = frames[:, y : y + side, x : x + side]
        lips = self.clips.lips[target] - np.array([x, y, x, y], np.float32)
        if augment and self._options.flip and rng.random() < 0.5:
            images, codes = images[:, :, ::-1], mirror_codes(codes)
            lips = np.array([side - 1 - lips[2], lips[1], side - 1 - lips[0], lips[3]], np.float32)
        unit = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
        if augment:
            unit = jitter_light(unit, rng, self._options.jitter)
            codes = codes + rng.normal(0, 0.1, codes.shape).astype(np.float32)
        motion = unit[2:]
        # noise, because generated frames are less clean than true ones
        if augment and self.clips.heard is None and rng.random() < 0.5:
            motion = motion + rng.normal(0, rng.uniform(0, 0.15), motion.shape).astype(np.float32)
        item = {
            "target": unit[0],
            "identity": unit[1],
            "motion": motion.reshape(-1, side, side),
            "codes": codes,
            "lips": lips,
        }
        return item if self.clips.heard is None else item | {"heard": self.clips.heard[window]}


def jitter_light(unit: Array32, rng: np.random.Generator, amount: float) -> Array32:
    """Change contrast, and brightness per colour, of images in [-1, 1], all alike."""
    gain = rng.uniform(1 - 2 * amount, 1 + 2 * amount)
    shift = rng.normal(0, amount, (3, 1, 1))
    jittered: Array32 = np.clip(unit * np.float32(gain) + shift.astype(np.float32), -1, 1)
    return jittered
