"""Real3D-Portrait's voice: published layouts and flags, windows, time stamps, noise, blinks."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden import fill
from thcli.audio import hubert
from thcli.audio.hubert import RECEPTIVE_FIELD, STRIDE, HubertConfig, HubertEncoder, HubertNetwork
from thcli.audio.read import Sound
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array32
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.writer import MotionWriter
from thcli.voices.backends import VOICES
from thcli.voices.real3d import voice as real3d
from thcli.voices.real3d.audio_features import encode_speech
from thcli.voices.real3d.config import read_flags
from thcli.voices.real3d.networks import REACH, AudioToMotion, CheckpointFlags, coarse_pitch
from thcli.voices.real3d.voice import Real3dVoice
from thcli.weights.manage import import_file

LAYOUTS = {
    "pitch_contour_vae": CheckpointFlags(),
    "vae_no_pitch": CheckpointFlags(pitch=False),
    "pitch_contour_vae_eye_amp": CheckpointFlags(eyes=True),
}
RUN = RunOptions(device="cpu", seed=5)
PLAIN = VoiceOptions()


def row_count(samples: int) -> int:
    """Return the number of HuBERT rows of so many samples."""
    return max(1, (samples - RECEPTIVE_FIELD + STRIDE) // STRIDE)


class FakeHubert(HubertEncoder):
    """HuBERT encoder with rows of noise that depend on their position; counts the rows read."""

    def __init__(self, part_rows: int = 200) -> None:
        self.part_rows, self.rows_read = part_rows, 0

    def encode(self, speech: Speech) -> Iterator[Array32]:
        whole = np.random.default_rng(0).standard_normal(
            (row_count(speech.length), 1024), np.float32
        )
        for begin in range(0, len(whole), self.part_rows):
            self.rows_read += len(whole[begin : begin + self.part_rows])
            yield whole[begin : begin + self.part_rows]


@pytest.fixture(scope="module")
def network() -> AudioToMotion:
    return fill.network(AudioToMotion(), fill.state(AudioToMotion().state_dict(), 0))


def voice(network: AudioToMotion, seed: int = 5, rows: int = 200) -> Real3dVoice:
    return Real3dVoice(network, FakeHubert(rows), RunOptions(device="cpu", seed=seed))


def sound(seconds: float) -> Sound:
    time = np.arange(round(seconds * 16000)) / 16000
    return Sound(
        (0.3 * np.sin(2 * np.pi * 150 * time) * (np.sin(2 * np.pi * 0.7 * time) > 0)).astype(
            np.float32
        ),
        16000,
    )


def expressions(voice: Real3dVoice, seconds: float, options: VoiceOptions = PLAIN) -> Array32:
    return np.concatenate(list(voice.frames(sound(seconds), options)))


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts(name: str, shared: Path) -> None:
    table = json.loads((shared / "specs" / "REAL3D_A2M.keys.json").read_text())[name]
    with torch.device("meta"):
        state = AudioToMotion(LAYOUTS[name]).state_dict()
    ours = {
        key: [list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
        for key, tensor in state.items()
    }
    assert ours == table


def test_flags_of_the_config() -> None:
    official = (
        "# config\naudio_type: hubert # hubert | mfcc\nmotion_type: exp\n"
        "use_pitch: true\nuse_flow: true\n  use_flow: false\n"
    )
    assert read_flags(official, "x") == CheckpointFlags() == read_flags("", "x")
    other = (
        "use_pitch: false\nuse_mouth_amp_embed: False\n"
        "use_eye_amp_embed: 'true'\nmotion_type: id_exp\n"
    )
    assert read_flags(other, "x") == CheckpointFlags(
        pitch=False, mouth=False, eyes=True, outputs=144
    )
    for text, message in (
        ("audio_type: mfcc", "audio_type 'mfcc'"),
        ("use_adapters: true", "use_adapters"),
        ("motion_type: lm", "motion_type 'lm'"),
        ("use_pitch: perhaps", "neither true nor false"),
    ):
        with pytest.raises(WeightsError, match=message):
            read_flags(text, "config.yaml")


@pytest.mark.parametrize(
    "flags",
    [
        CheckpointFlags(pitch=False),
        CheckpointFlags(eyes=True),
        CheckpointFlags(flow=False, mouth=False),
        CheckpointFlags(outputs=144),
    ],
)
def test_other_variants_speak(flags: CheckpointFlags) -> None:
    output = expressions(voice(AudioToMotion(flags).eval()), 1.0)
    assert output.shape[1] == 64 and np.isfinite(output).all() and output.std() > 0


def test_coarse_pitch_has_its_range() -> None:
    classes = coarse_pitch(torch.tensor([0.0, 20.0, 50.0, 51.0, 1100.0, 4000.0]))
    assert classes.tolist()[:3] == [1, 1, 1] and classes.tolist()[4:] == [255, 255]
    assert coarse_pitch(torch.arange(50.0, 1100.0)).diff().min() >= 0


@pytest.mark.parametrize("seconds", [0.02, 0.5, 16.0])
def test_windows_equal_the_whole(
    network: AudioToMotion, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short windows give the values of one pass for any parts of HuBERT's rows."""
    monkeypatch.setattr(real3d, "_WINDOW_STEPS", 10**6)
    whole = expressions(voice(network), seconds)
    rows = row_count(round(seconds * 16000))
    assert whole.shape == (-(-rows // 8) * 4, 64)
    for steps, parts in ((2, 1000), (1, 200)) if seconds < 10 else ((37, 33),):
        monkeypatch.setattr(real3d, "_WINDOW_STEPS", steps)
        np.testing.assert_allclose(
            expressions(voice(network, rows=parts), seconds), whole, atol=2e-5
        )


def test_one_window_is_the_output_of_the_network(network: AudioToMotion) -> None:
    speaker, speech = voice(network), sound(2.0)
    rows, hertz = (
        np.concatenate(column)
        for column in zip(*encode_speech(speech, speaker.hubert), strict=True)
    )
    assert len(rows) == len(hertz) == 104 and not rows[99:].any() and not hertz[99:].any()
    noise = torch.from_numpy(0.2 * speaker.noise(0, 13))[None]
    with torch.inference_mode():
        expected = network(
            torch.from_numpy(rows)[None],
            torch.from_numpy(hertz)[None],
            noise,
            torch.tensor([[0.45]]),
        )[0]
    np.testing.assert_allclose(expressions(speaker, 2.0), expected.numpy(), atol=1e-5)


def test_only_the_rows_of_a_window_are_read(
    network: AudioToMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real3d, "_WINDOW_STEPS", 30)
    speaker = voice(network)
    next(speaker.frames(sound(30), PLAIN))
    assert isinstance(speaker.hubert, FakeHubert)
    assert speaker.hubert.rows_read <= (30 + REACH) * 8 + speaker.hubert.part_rows


def test_reach_is_that_of_the_network(network: AudioToMotion) -> None:
    """Gradients come from within the reach only, and from near its end."""
    noise = torch.zeros(1, 16, 80, requires_grad=True)
    rows, hertz = torch.zeros(1, 640, 1024, requires_grad=True), torch.full((1, 640), 120.0)
    output = network(rows, hertz, noise)[0, 160:164].sum()  # step 40
    by_noise, by_sound = torch.autograd.grad(output, (noise, rows))
    noise_steps = by_noise.abs().sum((0, 1)).nonzero().ravel()
    audio_steps = by_sound.abs().sum((0, 2)).nonzero().ravel() // 8
    assert (
        noise_steps.min() >= 40 - REACH
        and noise_steps.max() <= 40 + REACH
        and noise_steps.max() > 40 + REACH - 4
    )
    assert audio_steps.min() >= 40 - REACH and audio_steps.max() <= 40 + REACH


def test_noise_depends_on_seed_and_step(network: AudioToMotion) -> None:
    """A temperature of 0 removes the noise."""
    np.testing.assert_array_equal(
        voice(network).noise(100, 50), voice(network).noise(90, 80)[:, 10:60]
    )
    assert (expressions(voice(network), 1) == expressions(voice(network), 1)).all()
    assert not np.allclose(
        expressions(voice(network, seed=1), 1), expressions(voice(network, seed=2), 1)
    )
    deterministic = VoiceOptions(temperature=0)
    np.testing.assert_array_equal(
        expressions(voice(network, seed=1), 1, deterministic),
        expressions(voice(network, seed=2), 1, deterministic),
    )
    assert not np.allclose(
        expressions(voice(network), 1), expressions(voice(network), 1, VoiceOptions(mouth=2.0))
    )
    whole = voice(network).noise(0, 200)
    assert np.abs(np.corrcoef(whole[:, :64].ravel(), whole[:, 64:128].ravel())[0, 1]) < 0.2


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(12)])
def test_any_rate(network: AudioToMotion, rate: Fraction) -> None:
    """At 25 per second the model's frames; else linear between them and constant at the end."""
    model_frames = expressions(voice(network), 3.0)
    pts, base = np.arange(int(4 * rate), dtype=np.int64), 1 / rate
    windows = list(voice(network).speak(sound(3.0), pts, base, PLAIN))
    found = np.concatenate([np.asarray(window.arrays["expression"]) for window in windows])
    assert {window.kind for window in windows} == {"real3d"}
    np.testing.assert_array_equal(np.concatenate([window.pts for window in windows]), pts)
    positions = np.clip(np.arange(len(pts)) * 25 / float(rate), 0, len(model_frames) - 1)
    low = np.minimum(positions.astype(int), len(model_frames) - 2)
    fraction = (positions - low)[:, None]
    np.testing.assert_allclose(
        found, model_frames[low] * (1 - fraction) + model_frames[low + 1] * fraction, atol=1e-4
    )


def test_blinks(network: AudioToMotion) -> None:
    """Every 5 s for 8 to 12 frames of 25 per second; at the requested rate; never."""
    pts, base = np.arange(1500), Fraction(1, 100)

    def shut(blink: str) -> Array32:
        windows = voice(network).speak(sound(0.5), pts, base, VoiceOptions(blink=blink))
        return np.concatenate([np.asarray(window.arrays["blink"]) for window in windows])

    auto = shut("auto")
    begins = np.flatnonzero((auto[1:] > 0) & (auto[:-1] == 0))
    assert begins.tolist() == [0, 500, 1000]
    assert auto.max() > 0.98 and auto.min() == 0
    for begin in begins:
        assert 0.3 <= (auto[begin : begin + 100] > 0).sum() / 100 <= 0.48
    assert not shut("none").any() and not shut("0").any()
    assert len(np.flatnonzero((shut("30")[1:] > 0) & (shut("30")[:-1] == 0))) == 8


def test_pitch_is_aligned_as_in_training() -> None:
    """Row i has the pitch of Praat's frame i, 20 i ms plus an offset, of a glide known to 1 ms."""
    hertz = np.linspace(150, 450, 2 * 16000)
    glide = Sound((0.3 * np.sin(2 * np.pi * np.cumsum(hertz) / 16000)).astype(np.float32), 16000)
    found = np.concatenate([part for _, part in encode_speech(glide, FakeHubert())])
    first = 340  # (32320 - 99 * 320) / 2, of 100 frames in the sound padded to 32320 samples
    np.testing.assert_allclose(found[2:95], hertz[first + 320 * np.arange(2, 95)], atol=0.3)


def test_motion_is_written_and_read(network: AudioToMotion, tmp_path: Path) -> None:
    path = tmp_path / "a.motion.safetensors"
    with MotionWriter(path) as out:
        for window in voice(network).speak(sound(1.0), np.arange(25), Fraction(1, 25), PLAIN):
            out.append(window)
    file = MotionFile(path)
    assert file.kind == "real3d" and file.window(0, 25).arrays["expression"].shape == (25, 64)


def test_absent_weights_and_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="real3d") as caught:
        VOICES.backend("real3d").load(RunOptions(device="cpu", offline=True))
    assert "thcli weights pull real3d" in caught.value.hint and caught.value.exit_code == 5
    with pytest.raises(WeightsError, match="--licence free"):
        VOICES.backend("real3d").load(RunOptions(device="cpu", licence="free"))


@pytest.mark.parametrize("flat", [False, True])
def test_an_official_archive_loads_and_speaks(
    network: AudioToMotion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flat: bool
) -> None:
    """Import the zip of two checkpoints and HuBERT's file, with a nested or a flat state."""
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    tiny = HubertConfig(1024, 1, 4, 16, stable=True, front=16)
    monkeypatch.setitem(hubert.CONFIGS, "hubert-large", tiny)
    hubert_network = HubertNetwork(tiny)
    torch.save(
        {f"hubert.{key}": tensor for key, tensor in hubert_network.state_dict().items()},
        tmp_path / "pytorch_model.bin",
    )
    import_file("hubert-large", tmp_path / "pytorch_model.bin", trust=True)
    model = network.state_dict()
    state = {f"model.{key}": tensor for key, tensor in model.items()} if flat else {"model": model}
    folder = tmp_path / "audio2secc_vae"
    folder.mkdir()
    torch.save(
        {"state_dict": state, "optimizer_states": [{}], "global_step": 400000},
        folder / "model_ckpt_steps_400000.ckpt",
    )
    (folder / "config.yaml").write_text("use_pitch: true\nuse_eye_amp_embed: false\n")
    torch.save({"state_dict": {"model": {"x": torch.zeros(1)}}}, tmp_path / "other.ckpt")
    with zipfile.ZipFile(tmp_path / "real3d.zip", "w") as archive:
        for name in ("config.yaml", "model_ckpt_steps_400000.ckpt"):
            archive.write(folder / name, f"audio2secc_vae/{name}")
        archive.writestr("secc2plane_torso_orig/config.yaml", "x: 1\n")
        archive.write(tmp_path / "other.ckpt", "secc2plane_torso_orig/model_ckpt_steps_100000.ckpt")
    import_file("real3d", tmp_path / "real3d.zip", trust=True)
    speaker = VOICES.backend("real3d").load(RUN)
    assert isinstance(speaker, Real3dVoice)
    for key, tensor in model.items():
        assert torch.equal(speaker.network.state_dict()[key], tensor), key
    assert expressions(speaker, 0.7).shape == (20, 64)
