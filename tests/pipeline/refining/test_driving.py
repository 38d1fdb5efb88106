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


def test_a_mouth_that_stays_shut_opens_as_its_drivers(clip: Clip, tmp_path: Path) -> None:
    source, keys = tmp_path / "source.png", tmp_path / "keys.txt"
    driver, out = tmp_path / "driver.mkv", tmp_path / "out.mkv"
    still = read_images(clip("four.mp4", 4))[0]
    save_image(source, still)
    keys.write_text("0 jaw=0\n0.2 jaw=0\n0.4 jaw=0.9\n0.6 jaw=0.9\n")
    posed = [
        "reenact",
        str(source),
        "-o",
        str(driver),
        "--keys",
        str(keys),
        "--codec",
        "ffv1",
        "-q",
    ]
    assert run([*posed, "--matte", "off", "--patches", "off"]) == 0
    wanted = read_images(driver)
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
