"""`refine --driving`: a coarse video that follows its driver too little is moved towards it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from thcli import media
from thcli.cli.app import run
from thcli.core.types import Image
from thcli.evaluate.reports.contact_sheet import save_image

Clip = Callable[..., Path]
KEEP = ("--engine", "detail", "--codec", "ffv1", "-q")
FACE = (slice(40, 150), slice(50, 140))


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


def test_a_face_that_stands_still_is_moved_as_its_driver(clip: Clip, tmp_path: Path) -> None:
    driver, out = clip("plain.mp4", 24), tmp_path / "out.mkv"
    wanted = read_images(driver)
    coarse = still_video(tmp_path, wanted[0], 24)
    save_image(tmp_path / "source.png", wanted[0])
    argv = ["refine", str(coarse), "--source", str(tmp_path / "source.png"), *KEEP]
    assert run([*argv, "--driving", str(driver), "-o", str(out)]) == 0
    made = read_images(out)
    late = range(8, 24)
    errors = [
        np.mean([np.abs(images[i][FACE].astype(int) - wanted[i][FACE]).mean() for i in late])
        for images in (made, [wanted[0]] * 24)
    ]
    assert len(made) == 24 and errors[0] < 0.8 * errors[1]


def test_a_driver_of_another_length_is_refused(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    coarse, driver = clip("plain.mp4", 24), clip("short.mp4", 10)
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
