"""Talking clips as HuBERT rows, pitch and expressions of the Basel Face Model, for the flow VAE.

Each clip is measured once and stored in FOLDER/.a2m-published (`stored_clips`); basis.npy beside
them has the mesh's displacement by each expression.
Source: Ye et al. 2024 (Real3D-Portrait), sec. 3.4; Real3DPortrait data_gen and audio2motion_dataset
(facts): amplitude of the mouth, blinks.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from thcli.audio.hubert import HubertEncoder
from thcli.audio.hubert import load as load_hubert
from thcli.audio.read import start_time
from thcli.audio.speech import Recording
from thcli.core.errors import MediaError
from thcli.core.events import Finished, Listener, Started, Step, Warned
from thcli.core.options import A2mPublishedTrainOptions, RunOptions, TrainOptions
from thcli.core.types import Array, Array32
from thcli.evaluate.datasets import talking_clips
from thcli.faces.model3d.bfm.fit import fit_clip
from thcli.faces.model3d.bfm.model import IDEXP_SCALE, FaceModel3D
from thcli.faces.model3d.bfm.model import load as load_face_model
from thcli.motion.observe import rebuild_driver_meshes
from thcli.train.a2m.stored_clips import (
    FOLDER,
    Blinks,
    SpokenClip,
    StoredClip,
    open_clip,
    read_array,
    save_array,
    store_clip,
    stored_path,
)
from thcli.train.a2m.synthetic import write_talking_clips
from thcli.train.core.epoch_order import EpochOrder
from thcli.train.data.batches import Batch
from thcli.voices.real3d.audio_features import ROWS_PER_STEP, encode_speech

BASIS = "basis.npy"
FPS = 25.0  # frames per second, two rows of sound each
SAMPLE_STEP = 2**31 - 1  # step number of the sample batch
SAMPLES = 4
MOUTH, EYES = (0, 17), ((159, 145), (386, 374))  # upper and lower points of the mesh
AMPLITUDE = 0.9  # quantile of the opening
OPEN_EYE, SHUT = 0.75, 0.85  # quantile of an open eye; share of it below which it is shut


def measure_clip(
    clip: Path, motions: Path | None, model: FaceModel3D, hubert: HubertEncoder
) -> SpokenClip:
    """Measure a clip.

    Raises:
        MediaError: The clip shows no face, has no sound, or is too short.
    """
    store = talking_clips.load_motion(clip, motions)
    motion = store.window(0, len(store))
    if not motion.valid.any():
        raise MediaError(f"{clip.name} shows no face.", "Leave it out.")
    meshes = rebuild_driver_meshes(motion)[..., :2]
    meshes[~motion.valid] = np.nan
    side = float(np.max(motion.constants["size"]))
    fit = fit_clip(model, meshes / side)
    begin = round(start_time(clip) / motion.time_base)
    seconds = (motion.pts - begin) * float(motion.time_base)
    recording = Recording(clip)
    parts = list(encode_speech(recording, hubert))
    rows, pitch = (np.concatenate(column) for column in zip(*parts, strict=True))
    frames = min(len(pitch) // 2, int(seconds[-1] * FPS) + 1)
    times = np.arange(frames) / FPS
    expression = np.stack([np.interp(times, seconds, row) for row in fit.expression.T], 1)
    points = model.points468(np.zeros_like(fit.identity), expression)
    return SpokenClip(
        rows[: 2 * frames].astype(np.float32),
        pitch[: 2 * frames].astype(np.float32),
        expression.astype(np.float32),
        find_blinks(_distances(points, EYES)),
        np.quantile(_distances(points, (MOUTH,)), AMPLITUDE, keepdims=True).astype(np.float32),
    )


def _distances(points: Array32, pairs: Sequence[tuple[int, int]]) -> Array:
    """Return the L1 distances of pairs of points (T, 468, 3), summed, (T,)."""
    gaps = [np.abs(points[:, a] - points[:, b]).sum(-1) for a, b in pairs]
    return np.asarray(np.sum(gaps, 0), np.float64)


def find_blinks(openings: Array) -> Blinks:
    """Return 1 in the middle frame of each time that the eyes are shut, else 0.

    Eyes that are still shut at the end do not count.
    """
    shut = openings / max(float(np.quantile(openings, OPEN_EYE)), 1e-9) < SHUT
    edges = np.flatnonzero(np.diff(np.concatenate([[0], shut.astype(np.int8)])))
    out = np.zeros(len(shut), np.int64)
    for begin, end in zip(edges[::2], edges[1::2], strict=False):
        out[begin + (end - begin) // 2] = 1
    return out


class SpokenClips:
    """Batches of windows of measured clips; a window longer than its clip is padded.

    hubert: (B, R, 1024).  pitch: (B, R).  expression: (B, R / 2, 64).  blink: (B, R).
    mouth: (B, 1).  weight: (B, R / 2), 0 in the padding.  step: (1,) the update.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        model_options: A2mPublishedTrainOptions,
        batch: int,
        on: Listener,
    ) -> None:
        """Open the folder, and measure clips that are not measured yet.

        Raises:
            MediaError: None of the clips can be used.
            WeightsError: A clip is to be measured without HuBERT or the Basel Face Model.
        """
        found = talking_clips.select_clips(
            talking_clips.find_clips(folder), model_options.only, model_options.held_out
        )
        motions = Path(model_options.motions) if model_options.motions else None
        run = RunOptions(device=options.device, offline=options.offline, threads=options.threads)
        self.clips = _measured([path for path, _ in found], folder, motions, run, on)
        self.basis: Array32 = np.array(read_array(folder / FOLDER / BASIS))
        self._rows, self._batch, self._seed = options.size, batch, options.seed
        self._order = EpochOrder(options.seed, len(self.clips))
        digest = hashlib.sha256()
        for clip in self.clips:
            digest.update(clip.others.expression.tobytes())
        self.fingerprint = digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.clips)

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""

    def batch(self, step: int) -> Batch:
        """Return the batch of an update."""
        first = step * self._batch
        return self._items([self._order(first + i) for i in range(self._batch)], step)

    def sample_batch(self) -> Batch:
        """Return the windows of the sample sheets."""
        return self._items([i % len(self) for i in range(SAMPLES)], SAMPLE_STEP)

    def _items(self, rows: Sequence[int], step: int) -> Batch:
        rng = np.random.default_rng([self._seed, step])
        items = [self._item(self.clips[row], rng) for row in rows]
        out = {
            name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]
        }
        return {**out, "step": torch.tensor([step])}

    def _item(
        self, stored: StoredClip, rng: np.random.Generator
    ) -> dict[str, npt.NDArray[np.generic]]:
        frames = self._rows // 2
        begin = int(rng.integers(0, max(len(stored) - frames, 0) + 1))
        clip = stored.window(begin, frames)
        return {
            "hubert": _padded(clip.hubert, self._rows),
            "pitch": _padded(clip.pitch, self._rows),
            "expression": _padded(clip.expression, frames),
            "blink": _padded(np.repeat(clip.blink, 2), self._rows),
            "mouth": clip.mouth,
            "weight": _padded(np.ones(len(clip.expression), np.float32), frames),
        }


def _padded(rows: npt.NDArray[np.generic], length: int) -> npt.NDArray[np.generic]:
    """Append zeros to rows up to a length."""
    missing = length - len(rows)
    return np.pad(rows, [(0, missing), *[(0, 0)] * (rows.ndim - 1)])


def _measured(
    clips: Sequence[Path], folder: Path, motions: Path | None, run: RunOptions, on: Listener
) -> list[StoredClip]:
    _refuse_shared_motions(clips, motions)
    began = time.perf_counter()
    on(Started("listen", len(clips), "clips"))
    out = []
    tools: tuple[FaceModel3D, HubertEncoder] | None = None
    for number, clip in enumerate(clips, 1):
        try:
            path = stored_path(clip, folder, motions)
            if not path.is_file():
                tools = tools or _load_tools(folder / FOLDER, run)
                store_clip(path, measure_clip(clip, motions, *tools))
        except MediaError as exc:
            on(Warned(f"{clip.name} is left out: {exc.message}"))
        else:
            out.append(open_clip(path))
        on(Step("listen", number))
    on(Finished("listen", len(out), time.perf_counter() - began))
    if not out:
        raise MediaError("None of the clips can be used.", talking_clips.HINT)
    return out


def _refuse_shared_motions(clips: Sequence[Path], motions: Path | None) -> None:
    """Raise MediaError for clips of several folders that --motions gives one motion file."""
    by_name = defaultdict(list)
    for clip in clips if motions else ():
        by_name[clip.stem].append(clip)
    for name, same in by_name.items():
        if len({clip.parent for clip in same}) > 1:
            raise MediaError(
                f"{same[0]} and {same[-1]} would share the motion file {name} of --motions.",
                "Rename one, or leave --motions out.",
            )


def _load_tools(stored: Path, run: RunOptions) -> tuple[FaceModel3D, HubertEncoder]:
    """Load what measures clips, and store the basis of the expressions."""
    model, hubert = load_face_model(run), load_hubert(run)
    stored.mkdir(exist_ok=True)
    save_array(stored / BASIS, mesh_basis(model))
    return model, hubert


def mesh_basis(model: FaceModel3D) -> Array32:
    """Return ten times the displacement of the mesh points by each expression, (64, 1404)."""
    columns = model.exp_base[model.mp468].reshape(-1, model.exp_base.shape[-1]).T
    return np.asarray(columns * np.float32(IDEXP_SCALE), np.float32)


def write_synthetic_measurements(folder: Path, inputs: int) -> None:
    """Write clips and their measurements: random sound, of which the expression is a function."""
    write_talking_clips(folder)
    rng = np.random.default_rng(5)
    (folder / FOLDER).mkdir()
    mixing = rng.normal(0, 0.3, (inputs, 64))
    for path, _ in talking_clips.find_clips(folder):
        frames = 10 * ROWS_PER_STEP // 2
        hubert = rng.normal(0, 1, (2 * frames, inputs)).astype(np.float32)
        expression = np.tanh(hubert[::2] @ mixing / np.sqrt(inputs)).astype(np.float32)
        openings = 1 - 0.8 * (np.arange(frames) % 13 == 6)
        pitch = rng.uniform(80, 300, 2 * frames).astype(np.float32)
        mouth = np.array([0.4], np.float32)
        clip = SpokenClip(hubert, pitch, expression, find_blinks(openings), mouth)
        store_clip(stored_path(path, folder, None), clip)
    basis = rng.normal(0, 0.1, (64, 468 * 3)).astype(np.float32)
    save_array(folder / FOLDER / BASIS, basis)
