"""`thcli refine`: changed pixels, identity, resume, errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from tests.pipeline.fake_refiners import MORE, RED, RedRefiner
from tests.pipeline.job.interruption import interrupted_behind
from tests.pipeline.refining.results import (
    KEEP,
    added_red,
    install_fakes,
    measure_detail,
    read_images,
)
from tests.pipeline.sources.squeezed import squeeze
from thcli import media
from thcli.cli.app import run
from thcli.core.options import OutputOptions
from thcli.core.types import Image
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.media.writing.provenance import Provenance, engine_of, output_metadata
from thcli.pipeline.refining.refine_pass import RefinePass

Clip = Callable[..., Path]


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    install_fakes(monkeypatch)


def write_twice(path: Path, clip: Path) -> Path:
    """Write a clip twice, side by side."""
    with media.write(
        path,
        (384, 192),
        None,
        OutputOptions(codec="ffv1"),
        media.WritePlan(time_base=Fraction(1, 25)),
    ) as out:
        for number, image in enumerate(read_images(clip)):
            out.write(np.concatenate([image, image], 1), number, 1)
    return path


def test_one_frame_out_for_each_in(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    times = [0, 40, 90, 130, 200, 240, 300, 340, 380, 460]
    video, out = clip("vfr.mp4", 10, pts=times, tone=True), tmp_path / "out.mp4"
    assert run(["refine", str(video), "-o", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["faces"], report["passed_through"], report["failed"]) == (
        10,
        1,
        0,
        0,
    )
    assert (report["engine"], report["calls"], report["warnings"]) == ("blush", 3, [])
    with media.read(out) as frames:
        assert [frame.seconds for frame in frames] == pytest.approx([t / 1000 for t in times])
    info = media.probe(out)
    assert info.size == (192, 192) and len(info.audio) == 1
    assert "synthetic" in info.metadata["comment"] and "engine blush" in info.metadata["comment"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_anamorphic_frames_are_refined_as_they_are_shown(clip: Clip, tmp_path: Path) -> None:
    video, out = squeeze(tmp_path / "s.mp4", clip("p.mp4", 10)), tmp_path / "out.mp4"
    assert run(["refine", str(video), "-o", str(out), "-q"]) == 0
    made, own = media.probe(out), media.probe(video)
    assert made.sar == own.sar == 2 and made.size == own.size == (96, 192)
    for after, before in zip(read_images(out), read_images(video), strict=True):
        red = after[..., 0].astype(int) - before[..., 0]
        assert red[80:110, 40:55].mean() > 10 and abs(red[:6].mean()) < 1


def test_the_background_changes_only_when_it_may(clip: Clip, tmp_path: Path) -> None:
    video = clip("plain.mp4", 24)
    argv = ["refine", str(video), "--end", "0.2", "--no-source-detail", *KEEP]
    assert run([*argv, "-o", str(tmp_path / "kept.mkv"), "--background", "keep"]) == 0
    assert run([*argv, "-o", str(tmp_path / "all.mkv")]) == 0
    assert run([*argv, "-o", str(tmp_path / "shown.mkv"), "--no-detail"]) == 0
    kept, whole = (
        added_red(tmp_path / name, first_frames(video, tmp_path, 5))[2]
        for name in ("kept.mkv", "all.mkv")
    )
    assert all(RED < np.median(red[60:110, 80:110]) < RED + 3 * MORE for red in (kept, whole))
    assert kept[:, :12].max() <= 2 and whole.mean() > kept.mean() + 1
    shown = read_images(tmp_path / "shown.mkv")[2].astype(int)
    assert measure_detail(shown) < 0.85 * measure_detail(
        read_images(tmp_path / "all.mkv")[2].astype(int)
    )  # an enlarged crop of 64 px


def first_frames(video: Path, folder: Path, count: int) -> Path:
    """Write the first frames of a clip as PNGs."""
    place = folder / f"first{count}"
    if not place.exists():
        place.mkdir()
        for number, image in enumerate(islice(read_images(video), count)):
            save_image(place / f"{number:03}.png", image)
    return place


def test_frames_without_the_face_pass_through(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    video, out = clip("leaves.mp4", 60, without=range(20, 40)), tmp_path / "out.mkv"
    argv = to_argv("refine", video, "-o", out, "--start 0.6 --end 1.8 --codec ffv1 --json")
    assert run(argv) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["passed_through"]) == (30, 20)
    own = read_images(video)[15:45]
    same = [np.array_equal(a, b) for a, b in zip(read_images(out), own, strict=True)]
    assert same == [5 <= number < 25 for number in range(30)]


@pytest.mark.parametrize(
    ("face", "changed"), [("0", (True, False)), ("1", (False, True)), ("all", (True, True))]
)
def test_one_face_of_two_or_both(
    clip: Clip, tmp_path: Path, face: str, changed: tuple[bool, bool]
) -> None:
    video, out = write_twice(tmp_path / "two.mkv", clip("four.mp4", 4)), tmp_path / "out.mkv"
    assert run(["refine", str(video), "--face", face, "-o", str(out), *KEEP]) == 0
    for red in added_red(out, video):
        halves = red[:, :192], red[:, 192:]
        assert tuple(bool(np.median(half[60:110, 80:110]) > 15) for half in halves) == changed
        assert all(
            more or half[40:150, 50:140].max() <= 2
            for more, half in zip(changed, halves, strict=True)
        )


def test_the_identity_is_of_the_footage_or_the_source(
    portrait: Path, clip: Clip, tmp_path: Path, capsys: Any
) -> None:
    """It is of the first frame, or of --source; an image of another person gives a warning."""
    video, out = clip("four.mp4", 4), tmp_path / "out.mkv"
    argv = ["refine", str(video), "-o", str(out), "--identity", "colours", "--overwrite", "--json"]
    assert run(argv) == 0
    own = RedRefiner.sources
    # It may be camera footage.
    assert RedRefiner.reference_crops and not RedRefiner.source_is_reference
    assert run([*argv, "--source", str(portrait)]) == 0
    given = RedRefiner.sources
    assert not RedRefiner.reference_crops and not RedRefiner.source_is_reference  # another view
    assert run([*argv, "--source", str(video)]) == 0
    assert RedRefiner.reference_crops and RedRefiner.source_is_reference
    assert [len(one) for one in (own, given, RedRefiner.sources)] == [1, 1, 1]
    first, other = (
        np.abs(one[0].astype(int) - own[0]).mean() for one in (RedRefiner.sources, given)
    )
    assert first < other and not np.array_equal(given[0], own[0])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["warnings"] for line in lines] == [[], [], []]
    green = tmp_path / "green.png"
    save_image(
        green,
        np.clip(media.read_image(portrait) * np.array([0.7, 1.3, 0.7]), 0, 255).astype(np.uint8),
    )
    assert run([*argv, "--source", str(green)]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert "green.png does not seem to show the person in" in warning


def test_a_source_without_a_face(
    clip: Clip, empty_wall: Image, tmp_path: Path, capsys: Any
) -> None:
    save_image(tmp_path / "wall.png", empty_wall)
    argv = ["refine", str(clip("four.mp4", 4)), "-o", str(tmp_path / "out.mkv")]
    assert run([*argv, "--source", str(tmp_path / "wall.png")]) == 4
    assert "wall.png shows no face" in capsys.readouterr().err
    assert run(["refine", str(tmp_path / "wall.png"), "-o", str(tmp_path / "out.png")]) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["wall.png"]


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        (("--engine", "nobody"), 2, "no refiner named 'nobody'"),
        (("--steps", "10"), 2, "within 2..9"),
        (("--strength", "2"), 2, "--strength"),
        (("--background", "blur"), 2, "background"),
        (("--licence", "free", "--engine", "fadm"), 5, "--licence free"),
        (("--engine", "fadm"), 5, "thcli weights"),
        (("--background", "keep", "--parser", "nobody"), 2, "no parser named"),
        (("--source", "nowhere.png"), 3, "nowhere.png"),
    ],
)
def test_errors_are_reported_before_tracking(
    clip: Clip, tmp_path: Path, capsys: Any, wrong: Sequence[str], code: int, words: str
) -> None:
    argv = ["refine", str(clip("four.mp4", 4)), "-o", str(tmp_path / "out.mp4"), *wrong]
    assert run(argv) == code
    said = capsys.readouterr().err
    assert words in said and "track" not in said
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_kept(clip: Clip, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(clip("four.mp4", 4).read_bytes())
    assert run(["refine", str(video), "-q"]) == 0
    assert (tmp_path / "clip_refined.mp4").is_file()
    assert run(["refine", str(video), "-q"]) == 7
    assert run(["refine", str(video), "--overwrite", "-q"]) == 0


def test_dry_run_writes_nothing(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    argv = to_argv("refine", clip("plain.mp4", 24), "-o", tmp_path / "x.mp4", "--dry-run --json")
    assert run(argv) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["dry_run"] and (report["would_make"], report["size"], report["calls"]) == (
        24,
        "192x192",
        3,
    )
    assert report["estimate"] > 0 and report["frames"] == 0
    assert list(tmp_path.iterdir()) == []


def test_an_image_is_refined(portrait: Path, tmp_path: Path) -> None:
    assert run(["refine", str(portrait), "-o", str(tmp_path / "out.png"), "-q"]) == 0
    assert np.median(
        added_red(tmp_path / "out.png", portrait)[0][80:140, 100:150]
    ) == pytest.approx(RED, abs=3)


def test_more_than_eight_bits_are_kept(clip: Clip, tmp_path: Path) -> None:
    video, out = tmp_path / "deep.mkv", tmp_path / "out.mkv"
    with av.open(str(video), "w") as box:
        stream = box.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 192, "yuv444p10le"
        for number, image in enumerate(islice(read_images(clip("four.mp4", 4)), 2)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    assert run(["refine", str(video), "-o", str(out), *KEEP]) == 0
    assert media.probe(video).bit_depth == 10 <= media.probe(out).bit_depth
    with media.read(video) as old, media.read(out) as new:
        for before, after in zip(old, new, strict=True):
            change = after.pixels.astype(int) - before.pixels
            assert (
                np.median(change[60:110, 80:110, 0]) / 257 > 15
                and np.abs(change[:, :12]).max() <= 257
            )


def test_neither_batches_nor_threads_change_the_pixels(clip: Clip, tmp_path: Path) -> None:
    """Each frame is refined by one thread of torch, whose sums round alike."""
    argv = to_argv("refine", clip("plain.mp4", 24), "--engine tiny --end 0.2 --noise frame", *KEEP)
    runs = {"a": ("8", "1"), "b": ("1", "1"), "c": ("3", "2"), "e": ("8", "3")}
    for name, (batch, threads) in runs.items():
        command = to_argv(
            *argv, "-o", tmp_path / f"{name}.mkv", "--batch-size", batch, "--threads", threads
        )
        assert run(command) == 0
    made = [read_images(tmp_path / f"{name}.mkv") for name in runs]
    for a, *others in zip(*made, strict=True):
        assert all(np.array_equal(a, other) for other in others)
    assert run([*argv, "-o", str(tmp_path / "d.mkv"), "--seed", "7", "--threads", "1"]) == 0
    assert not np.array_equal(read_images(tmp_path / "d.mkv")[0], made[0][0])


def test_a_resumed_run_equals_an_uninterrupted_one(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thcli.media.writing.segments.SEGMENT_FRAMES", 4)
    base = ["refine", str(clip("plain.mp4", 24)), "--end", "0.5", "--resume", *KEEP]
    out, whole = tmp_path / "out.mkv", tmp_path / "whole.mkv"
    with interrupted_behind(10, RefinePass, "frames"):
        assert run([*base, "-o", str(out)]) == 130
    kept = tmp_path / ".out.mkv.thcli-resume"
    assert not out.exists() and (kept / "000001.packets").exists()  # the third is cut off
    assert run([*base, "-o", str(out)]) == 0
    assert run([*base, "-o", str(whole)]) == 0

    def packets(path: Path) -> list[tuple[int | None, bytes]]:
        with av.open(str(path)) as box:
            return [(p.pts, bytes(p)) for p in box.demux(video=0) if p.size]

    assert packets(out) == packets(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mkv", "whole.mkv"]


def test_metadata_name_the_engine() -> None:
    assert engine_of(output_metadata({}, Provenance("reenact", "mesh"))) == "mesh"
    assert engine_of({"comment": "made with love (engine V8)"}) is None
    assert engine_of({}) is None


def test_refiners_are_listed(capsys: Any) -> None:
    assert run(["list", "refiners", "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["rows"]]
    assert {"fadm", "blush", "tiny"} <= set(names)
