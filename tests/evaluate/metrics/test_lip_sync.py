"""SyncNet, I3D and cepstra against the authors' programs, and LSE of a clip.

GOLDEN was computed by syncnet_python, pytorch-i3d and python_speech_features, with weights filled
as `tests.golden.fill` says.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.evaluate.made_clips import face_at, make_clip, make_tracker, shift_photo
from tests.golden.fill import shapes, state
from thcli.cli.app import run
from thcli.core.errors import MediaError, NoFaceError, WeightsError
from thcli.evaluate.metrics.measure import TrueClip, copy_row, measure, truth_row
from thcli.evaluate.metrics.networks.i3d import I3D, build_i3d
from thcli.evaluate.metrics.networks.syncnet import SyncNet, build_syncnet, sync_distances
from thcli.evaluate.metrics.sets import fvd
from thcli.evaluate.metrics.speech.lip_sync import at_rate, measure_clip, mel_cepstra, scores_of

GOLDEN = json.loads(Path(__file__).with_name("golden_metrics.json").read_text("utf-8"))
GAIN = 1.4


def write_clip(path: Path) -> Path:
    """Write 1.2 s of a moving photograph with a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width = video.height = 256
        audio = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for frame in make_clip(30):
            picture = av.VideoFrame.from_ndarray(np.asarray(frame.pixels, np.uint8))
            container.mux(video.encode(picture))
        tone = (3000 * np.sin(np.arange(19200) * 0.2)).astype(np.int16)[None]
        sound = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        sound.sample_rate = 16000
        container.mux([*audio.encode(sound), *audio.encode(None), *video.encode(None)])
    return path


def close(found: torch.Tensor, wanted: list[float]) -> bool:
    numbers = np.array(wanted)
    apart = np.abs(found.numpy()[: len(numbers)] - numbers).max()
    return bool(apart < 1e-4 * np.abs(numbers).max())


def test_networks_equal_the_authors() -> None:
    draw = np.random.default_rng(4)
    mouth = torch.from_numpy((draw.random((1, 3, 5, 224, 224)) * 255).astype(np.float32))
    sound = torch.from_numpy(draw.normal(0, 5, (6, 1, 13, 20)).astype(np.float32))
    network = build_syncnet(state(shapes(SyncNet), 0, GAIN))
    with torch.inference_mode():
        assert close(network.encode_mouths(mouth)[0], GOLDEN["mouth"])
        assert close(network.encode_sound(sound)[0], GOLDEN["sound"])
    first, second = (
        torch.from_numpy(draw.normal(size=(20, 1024)).astype(np.float32)) for _ in range(2)
    )
    second[3:] = first[:-3]
    found = scores_of(sync_distances(first, second).numpy())
    assert [found.distance, found.confidence] == pytest.approx(GOLDEN["lse"][:2], rel=1e-4)
    assert found.frames == GOLDEN["lse"][2] == -3
    clip = torch.from_numpy((draw.random((1, 3, 16, 224, 224)) * 2 - 1).astype(np.float32))
    with torch.inference_mode():
        assert close(build_i3d(state(shapes(I3D), 0, GAIN))(clip)[0], GOLDEN["i3d"])


def test_cepstra_equal_python_speech_features() -> None:
    draw = np.random.default_rng(4)
    draw.random((1, 3, 5, 224, 224))
    for size in ((6, 1, 13, 20), (20, 1024), (20, 1024)):
        draw.normal(size=size)
    draw.random((1, 3, 16, 224, 224))
    samples = draw.normal(0, 3000, 8000).astype(np.int16).astype(np.float64)
    found = mel_cepstra(samples)
    assert found.shape == (49, 13)
    assert found[::12] == pytest.approx(np.array(GOLDEN["cepstra"]), abs=2e-4)


def test_frames_are_repeated_within_bounds() -> None:
    first, second = shift_photo(0), shift_photo(1)
    assert [image is first for image in at_rate([(5.0, first), (5.1, second)])] == [True] * 3 + [
        False
    ]
    with pytest.raises(MediaError, match="shown for 3600 s"):
        list(at_rate([(0.0, first), (3600.0, second)]))


def test_fvd_needs_two_clips_of_sixteen_frames() -> None:
    metric = fvd.make_metric(build_i3d(state(shapes(I3D), 0, GAIN)))
    rows = {"still": copy_row(shift_photo(0)), "truth": truth_row}
    found = measure(TrueClip(make_clip(17)), rows, make_tracker, metrics=(metric,))
    assert found["truth"].values["face"]["fvd"] is None
    assert found["truth"].pools["fvd"].truth.shape == (1, 400)
    still = found["still"].pools["fvd"]
    assert not np.allclose(still.truth, still.result)


def test_clips_of_fvd_have_no_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fvd, "encode_clip", lambda network, frames: np.zeros(2))
    metric = fvd.make_metric(build_i3d(state(shapes(I3D), 0, GAIN)))
    still, gap = shift_photo(0), Fraction(8, 25)
    rows = {"whole": copy_row(still), "gap": lambda t: None if t.seconds == gap else still}
    found = measure(TrueClip(make_clip(24)), rows, make_tracker, metrics=(metric,))
    assert found["gap"].absent == 1
    assert [len(found[row].pools["fvd"].truth) for row in rows] == [1, 0]


def test_asking_for_syncnet_without_its_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    code = run(["eval", "speak", str(tmp_path), "--lse", "--licence", "free"])
    assert code == WeightsError.exit_code
    assert "syncnet" in capsys.readouterr().err


def test_a_clip_passes_through_syncnet(tmp_path: Path) -> None:
    """The weights are filled, so that the scores mean nothing; that they exist is tested."""
    clip = write_clip(tmp_path / "clip.mkv")
    calls: list[int] = []

    class Counting(SyncNet):
        def encode_mouths(self, frames: torch.Tensor) -> torch.Tensor:
            assert frames.shape[1:] == (3, 5, 224, 224) and float(frames.max()) > 1
            calls.append(len(frames))
            return torch.zeros(len(frames), 1024)

    found = measure_clip(Counting().eval(), clip, lambda: lambda image: face_at(0.0))
    assert sum(calls) > 20 and found.distance > 0 and abs(found.frames) <= 15
    with pytest.raises(NoFaceError):
        measure_clip(Counting().eval(), clip, lambda: lambda image: None)
