"""Correction towards a driver: `refine --driving`, and `reenact --refine` of an engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thcli import media
from thcli.cli.app import run
from thcli.core.options import ReenactOptions, RunOptions
from thcli.core.types import Frame, Image, Motion
from thcli.engines.backends import ENGINES
from thcli.engines.mesh.engine import MeshEngine
from thcli.engines.mesh.prepared_source import MeshSource
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.motion.correction import CorrectedMotion
from thcli.weights.backend import Backend

Clip = Callable[..., Path]
KEEP = ("--engine", "detail", "--codec", "ffv1", "-q")
MOUTH = (slice(100, 160), slice(65, 125))


def read_images(path: Path) -> list[Image]:
    with media.read(path) as frames:
        return [np.asarray(frame.pixels, np.uint8) for frame in frames]


def still_video(folder: Path, image: Image, count: int) -> Path:
    """Write a folder of frames in which nothing moves."""
    place = folder / "still"
    place.mkdir()
    for number in range(count):
        save_image(place / f"{number:03}.png", image)
    return place


def opening_mouth(folder: Path, source: Path) -> list[Image]:
    """Return a source image whose mouth opens."""
    keys, driver = folder / "keys.txt", folder / "driver.mkv"
    keys.write_text("0 jaw=0\n0.2 jaw=0\n0.4 jaw=0.9\n0.6 jaw=0.9\n")
    posed = ["reenact", str(source), "-o", str(driver), "--keys", str(keys), "--codec", "ffv1"]
    assert run([*posed, "-q", "--matte", "off", "--patches", "off"]) == 0
    return read_images(driver)


class StillEngine(MeshEngine):
    """An engine that does not follow its driver."""

    def render(self, source: Any, motion: Motion, frames: Sequence[Frame] | None) -> list[Image]:
        assert isinstance(source, MeshSource)
        return [source.image] * len(motion)


def load_still(run: RunOptions, options: ReenactOptions) -> StillEngine:
    return StillEngine(run, "off", mouth="synthetic")


def test_an_engines_frames_are_corrected_towards_the_chosen_face(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --causal, whose filter must not be advanced by several threads."""
    row = Backend(f"{__name__}:load_still", "a fake", reads=("motion",))
    monkeypatch.setitem(ENGINES.rows, "still", row)
    asked: list[tuple[int, int, str]] = []
    window = CorrectedMotion.window

    def watched(self: CorrectedMotion, start: int, stop: int) -> Motion:
        asked.append((start, stop, threading.current_thread().name))
        return window(self, start, stop)

    monkeypatch.setattr(CorrectedMotion, "window", watched)
    source, still = tmp_path / "source.png", read_images(clip("four.mp4", 4))[0]
    save_image(source, still)
    wanted = opening_mouth(tmp_path, source)
    pair = tmp_path / "pair"  # the face on the right opens its mouth
    pair.mkdir()
    for number, image in enumerate(wanted):
        save_image(pair / f"{number:03}.png", np.concatenate([still, image], 1))
    changes = []
    for face in ("0", "1"):
        out = tmp_path / f"{face}.mkv"
        argv = ["reenact", str(source), str(pair), "-o", str(out), "--face", face, "--causal"]
        assert run([*argv, "--engine", "still", "--refine", "detail", "--codec", "ffv1", "-q"]) == 0
        made = read_images(out)
        assert len(made) == len(wanted)
        changes.append(np.abs(made[-1][MOUTH].astype(int) - still[MOUTH]).mean())
    assert changes[0] < 0.5 and changes[1] > 2
    assert {(start, stop) for start, stop, _ in asked} == {(0, 256)}
    assert not any(name.startswith("ordered_map") for *_, name in asked)


def test_a_mouth_that_stays_shut_opens_as_its_drivers(clip: Clip, tmp_path: Path) -> None:
    source, out = tmp_path / "source.png", tmp_path / "out.mkv"
    still = read_images(clip("four.mp4", 4))[0]
    save_image(source, still)
    wanted, driver = opening_mouth(tmp_path, source), tmp_path / "driver.mkv"
    coarse = still_video(tmp_path, still, len(wanted))
    argv = ["refine", str(coarse), "--source", str(source), "--driving", str(driver), *KEEP]
    assert run([*argv, "-o", str(out)]) == 0
    made = read_images(out)
    before, after = (
        np.abs(image[MOUTH].astype(int) - wanted[-1][MOUTH]).mean() for image in (still, made[-1])
    )
    assert len(made) == len(wanted) and after < 0.85 * before
    assert np.abs(made[0][MOUTH].astype(int) - still[MOUTH]).mean() < 3


def test_a_driver_of_another_length_is_refused(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    coarse, driver = clip("plain.mp4", 24), clip("ten.mp4", 10)
    argv = ["refine", str(coarse), "--driving", str(driver), "-o", str(tmp_path / "x.mkv"), *KEEP]
    assert run(argv) == 2
    said = capsys.readouterr().err
    assert "lasts 0.92 s and its driver" in said and "0.36 s" in said
    assert not (tmp_path / "x.mkv").exists()


def test_one_face_is_corrected_and_several_refused(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    image = read_images(clip("four.mp4", 4))[0]
    coarse = still_video(tmp_path, np.concatenate([image, image], 1), 4)
    argv = ["refine", str(coarse), "--driving", str(clip("four.mp4", 4)), "--face", "all", *KEEP]
    assert run([*argv, "-o", str(tmp_path / "x.mkv")]) == 2
    assert "--driving corrects one face, but 2 of" in capsys.readouterr().err
