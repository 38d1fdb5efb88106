"""Contract of timing: whatever drives, the output has the driver's time stamps and length."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from tests.pipeline.timed_drivers import (
    CLIPS,
    COUNT,
    Driver,
    read_times,
    write_folder,
    write_gif,
    write_motion,
    write_video,
)
from thcli.cli.app import run
from thcli.core.options import ReadOptions
from thcli.editors.backends import PAINTERS
from thcli.engines.backends import ENGINES
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.motion.file.reader import MotionFile
from thcli.pipeline.backends import STAGES
from thcli.pipeline.observe.inputs import probe
from thcli.voices.backends import VOICES
from thcli.weights.backend import Backend

pytestmark = pytest.mark.usefixtures("regions_once")
VIDEOS = [f"video {name}" for name in CLIPS]
STREAMS = [*VIDEOS, "folder", "gif", "stdin"]
MOTIONS = [f"motion {name}" for name in CLIPS]
VERBS = ("warp", "refine", "edit", "crop", "paste", "parse", "compare")


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage, name, maker in (
        (STAGES["refiner"], "blush", "tests.pipeline.fake_refiners:RedRefiner"),
        (PAINTERS, "blusher", "tests.pipeline.editing.fakes:load_painter"),
        (ENGINES, "tint", "tests.pipeline.sources.test_framing:load"),
        (ENGINES, "shade", "tests.pipeline.test_reenact_video:load"),
        (VOICES, "bar", "tests.pipeline.fake_voices:bar"),
    ):
        monkeypatch.setitem(stage.rows, name, Backend(maker, "a stand-in"))
    jaw = replace(VOICES.rows["a2m"], factory="tests.pipeline.fake_voices:jaw", weights=())
    monkeypatch.setitem(VOICES.rows, "jaw", jaw)


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image of the head, 128 x 128: times do not depend on pixels."""
    path = tmp_path_factory.mktemp("portrait") / "portrait.png"
    save_image(path, np.ascontiguousarray(photograph()[10:266:2, 95:351:2]))
    return path


@pytest.fixture(scope="session")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Driver]:
    folder = tmp_path_factory.mktemp("drivers")
    found = {f"video {name}": write_video(folder, name) for name in CLIPS}
    found |= {"folder": write_folder(folder), "gif": write_gif(folder)}
    found["stdin"] = found["video 90000"]
    encoded = folder / "encoded.motion.safetensors"
    assert run(to_argv("encode", found["video 12800"].path, "-o", encoded, "-q")) == 0
    motions = folder / "motions"
    motions.mkdir()
    found |= {f"motion {name}": write_motion(MotionFile(encoded), motions, name) for name in CLIPS}
    return found


@pytest.fixture
def given(
    drivers: dict[str, Driver], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[Driver, object]]:
    """Return a function from a kind of driver to its times and the word of the command line."""

    def give(kind: str) -> tuple[Driver, object]:
        driver = drivers[kind]
        if kind != "stdin":
            return driver, driver.path
        piped = SimpleNamespace(buffer=io.BytesIO(driver.path.read_bytes()))
        monkeypatch.setattr("sys.stdin", piped)
        return driver, "-"

    return give


def assert_times(path: Path, driver: Driver) -> None:
    """Check every time stamp and the last duration to half a tick of the output."""
    times, last, unit = read_times(path)
    assert len(times) == len(driver.times)
    assert all(abs(a - b) <= unit / 2 for a, b in zip(times, driver.times, strict=True))
    assert abs(last - driver.last) <= unit


@pytest.mark.parametrize("kind", [*STREAMS, *MOTIONS])
def test_reenact_keeps_the_times_of_any_driver(
    kind: str, given: Any, portrait: Path, tmp_path: Path
) -> None:
    driver, word = given(kind)
    assert run(to_argv("reenact", portrait, word, "-o", tmp_path / "out.mp4", "-q")) == 0
    assert_times(tmp_path / "out.mp4", driver)


@pytest.mark.parametrize("kind", ["video 25", "video vfr", "gif"])
def test_an_engine_that_reads_no_driving_frame_keeps_the_times(
    kind: str, drivers: dict[str, Driver], portrait: Path, tmp_path: Path
) -> None:
    driver, out = drivers[kind], tmp_path / "out.mp4"
    argv = to_argv("reenact", portrait, driver.path, "-o", out, "--mouth synthetic -q")
    assert run(argv) == 0
    assert_times(out, driver)


@pytest.mark.parametrize("kind", ["video 25", "video vfr", "folder"])
def test_a_source_video_keeps_its_times(
    kind: str, drivers: dict[str, Driver], tmp_path: Path
) -> None:
    """The driver has another time base, and lasts as long."""
    source, out = drivers["video 12800"], tmp_path / "out.mp4"
    argv = to_argv("reenact", source.path, drivers[kind].path, "-o", out, "--engine shade -q")
    assert run(argv) == 0
    assert_times(out, source)


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_keeps_the_times(
    verb: str, kind: str, given: Any, portrait: Path, tmp_path: Path
) -> None:
    driver, word = given(kind)
    out = tmp_path / "out.mp4"
    for argv in commands(verb, word, driver.path, portrait, out):
        assert run(argv) == 0
    assert_times(out, driver)


def commands(verb: str, word: object, path: Path, portrait: Path, out: Path) -> list[list[str]]:
    """Return the command lines of a verb on one input. word: the input as it is given."""
    motion, crops = out.with_name("in.motion.safetensors"), out.with_name("crops.mp4")
    small = "--size 64 -q"
    return {
        "warp": [
            to_argv("encode", word, "-o", motion, "-q"),
            to_argv("warp", portrait, motion, "-o", out, "-q"),
        ],
        "refine": [to_argv("refine", word, "-o", out, "--engine blush -q")],
        "edit": [to_argv("edit", word, "-o", out, "--attr blond --engine blusher -q")],
        "crop": [to_argv("crop", word, "-o", out, small)],
        "paste": [
            to_argv("crop", path, "-o", crops, small),
            to_argv("paste", crops, word, "-o", out, "-q"),
        ],
        "parse": [to_argv("parse", word, "-o", out, "--kind overlay --parser mesh-parse -q")],
        "compare": [to_argv("compare", word, portrait, "-o", out, "-q")],
    }[verb]


@pytest.mark.parametrize(
    ("verb", "kind"),
    [("reenact", kind) for kind in (*VIDEOS, *MOTIONS)] + [("warp", kind) for kind in MOTIONS],
)
def test_a_range_of_a_motion_file_is_that_of_its_video(
    verb: str, kind: str, drivers: dict[str, Driver], portrait: Path, tmp_path: Path
) -> None:
    driver, out = drivers[kind], tmp_path / "out.mp4"
    start, end = float(driver.times[1]) - 1e-3, float(driver.times[4]) - 1e-3
    span = ("--start", start, "--end", end)
    assert run(to_argv(verb, portrait, driver.path, "-o", out, *span, "-q")) == 0
    times = tuple(time - driver.times[1] for time in driver.times[1:4])
    assert_times(out, Driver(out, times, driver.times[4] - driver.times[3]))


def test_a_range_after_the_end_of_a_motion_file_is_refused(
    drivers: dict[str, Driver], portrait: Path, tmp_path: Path, capsys: Any
) -> None:
    driver = drivers["motion 12800"]
    argv = to_argv("warp", portrait, driver.path, "-o", tmp_path / "out.mp4", "--start 7")
    assert run(argv) == 2
    assert "after the last frame" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_motion_file_is_not_saved_again(
    drivers: dict[str, Driver], portrait: Path, tmp_path: Path
) -> None:
    argv = to_argv("reenact", portrait, drivers["motion 25"].path, "-o", tmp_path / "out.mp4")
    assert run([*argv, "--save-motion", str(tmp_path / "again.motion.safetensors")]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", MOTIONS)
def test_a_constant_rate_covers_the_length_of_a_motion_file(
    kind: str, drivers: dict[str, Driver], portrait: Path, tmp_path: Path
) -> None:
    driver, out = drivers[kind], tmp_path / "out.mp4"
    assert run(to_argv("reenact", portrait, driver.path, "-o", out, "--fps 100 -q")) == 0
    times, _, _ = read_times(out)
    assert len(times) == pytest.approx(float(driver.times[-1] + driver.last) * 100, abs=1)


@pytest.mark.parametrize("kind", [*VIDEOS, *MOTIONS])
def test_a_probed_driver_has_its_length(kind: str, drivers: dict[str, Driver]) -> None:
    driver = drivers[kind]
    info = probe(driver.path, ReadOptions())
    assert (info.frames, info.start) == (COUNT, driver.times[0])
    assert info.duration is not None
    assert abs(info.duration - driver.times[-1] - driver.last) <= Fraction(1, 500)


@pytest.mark.parametrize("fps", [25, 29.97, 1000])
@pytest.mark.parametrize("by", ["jaw --engine mesh", "jaw --engine tint", "bar"])
def test_the_frames_of_speech_are_spaced_evenly(
    by: str, fps: float, portrait: Path, tmp_path: Path
) -> None:
    """The engine "tint" is driven by a video that the mesh engine renders."""
    sound, out = tmp_path / "tone.wav", tmp_path / "out.mp4"
    seconds = Fraction(1, 5) if fps < 1000 else Fraction(1, 100)
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"\0\x20\0\xe0" * int(8000 * seconds))
    argv = to_argv("speak", portrait, sound, "-o", out, f"--voice {by} --fps {fps} -q")
    assert run(argv) == 0
    rate = Fraction(30000, 1001) if fps == 29.97 else Fraction(fps)
    expected = tuple(i / rate for i in range(int(-(-seconds * rate // 1))))
    assert_times(out, Driver(out, expected, 1 / rate))
    assert tuple(read_times(out)[0]) == expected


def test_the_clips_of_this_file_are_as_they_claim(drivers: dict[str, Driver]) -> None:
    for name, (_, unit, _, _) in CLIPS.items():
        assert read_times(drivers[f"video {name}"].path)[2] == unit
        assert_times(drivers[f"video {name}"].path, drivers[f"video {name}"])
        assert MotionFile(drivers[f"motion {name}"].path).time_base == unit
