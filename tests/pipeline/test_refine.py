"""`thcli refine` as typed, and --refine of what renders: what changes, what stays, and that nothing but the frames decides it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.pipeline.fake_refiners import MORE, RED, Blush
from thcli import media
from thcli.cli.app import run
from thcli.core.options import OutputOptions
from thcli.core.types import Image
from thcli.engines.backends import ENGINES
from thcli.evaluate.reports.contact_sheet import save_picture
from thcli.pipeline.backends import STAGES
from thcli.pipeline.refining.refine_pass import RefinePass
from thcli.voices.backends import VOICES
from thcli.weights.backend import Backend

Clip = Callable[..., Path]
KEEP = ("--codec", "ffv1", "-q")


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage, name, maker in (
        ("refiner", "blush", "Blush"),
        ("refiner", "tiny", "tiny"),
        ("identity", "colours", "Colours"),
    ):
        monkeypatch.setitem(
            STAGES[stage].rows, name, Backend(f"tests.pipeline.fake_refiners:{maker}", "a stand-in")
        )
    monkeypatch.setitem(STAGES["refiner"].defaults, "any", "blush")


def pictures(path: Path) -> list[Image]:
    with media.read(path) as frames:
        return [np.asarray(frame.pixels, np.uint8) for frame in frames]


def redder(path: Path, other: Path) -> list[np.ndarray[Any, Any]]:
    """By how many levels each pixel of each frame has more red; green and blue stay (but for texture finer than the crop's)."""
    out = []
    for made, old in zip(pictures(path), pictures(other), strict=True):
        change = made.astype(int) - old
        assert np.abs(change[..., 1:]).mean() < 0.5
        out.append(change[..., 0])
    return out


def two_of_her(path: Path, clip: Path) -> Path:
    """The same clip twice, side by side."""
    with media.write(
        path, (384, 192), None, OutputOptions(codec="ffv1"), time_base=Fraction(1, 25)
    ) as out:
        for number, picture in enumerate(pictures(clip)):
            out.write(np.concatenate([picture, picture], 1), number, 1)
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


def test_only_the_person_changes_unless_all_may(clip: Clip, tmp_path: Path) -> None:
    video = clip("plain.mp4", 24)
    argv = ["refine", str(video), "--end", "0.2", *KEEP]
    assert run([*argv, "-o", str(tmp_path / "kept.mkv"), "--background", "keep"]) == 0
    assert run([*argv, "-o", str(tmp_path / "all.mkv")]) == 0
    assert run([*argv, "-o", str(tmp_path / "shown.mkv"), "--no-detail"]) == 0
    kept, whole = (
        redder(tmp_path / name, cut(video, tmp_path, 5))[2] for name in ("kept.mkv", "all.mkv")
    )
    assert all(RED < np.median(red[60:110, 80:110]) < RED + 3 * MORE for red in (kept, whole))
    assert kept[:, :12].max() <= 2 and whole.mean() > kept.mean() + 1
    shown = pictures(tmp_path / "shown.mkv")[2].astype(int)
    assert detail(shown) < 0.85 * detail(
        pictures(tmp_path / "all.mkv")[2].astype(int)
    )  # a crop of 64 pixels, enlarged


def cut(video: Path, folder: Path, count: int) -> Path:
    """The first frames of a clip, as PNGs."""
    place = folder / f"first{count}"
    if not place.exists():
        place.mkdir()
        for number, picture in enumerate(islice(pictures(video), count)):
            save_picture(place / f"{number:03}.png", picture)
    return place


def detail(picture: np.ndarray[Any, Any]) -> float:
    """Mean step from pixel to pixel in the face."""
    return float(np.abs(np.diff(picture[60:120, 70:120], axis=1)).mean())


def test_frames_without_the_face_pass_through(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    video, out = clip("leaves.mp4", 60, without=range(20, 40)), tmp_path / "out.mkv"
    argv = [
        "refine",
        str(video),
        "-o",
        str(out),
        "--start",
        "0.6",
        "--end",
        "1.8",
        "--codec",
        "ffv1",
        "--json",
    ]
    assert run(argv) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["passed_through"]) == (30, 20)
    own = pictures(video)[15:45]
    same = [np.array_equal(a, b) for a, b in zip(pictures(out), own, strict=True)]
    assert same == [5 <= number < 25 for number in range(30)]


@pytest.mark.parametrize(
    ("face", "changed"), [("0", (True, False)), ("1", (False, True)), ("all", (True, True))]
)
def test_which_of_two_faces(
    clip: Clip, tmp_path: Path, face: str, changed: tuple[bool, bool]
) -> None:
    video, out = two_of_her(tmp_path / "two.mkv", clip("four.mp4", 4)), tmp_path / "out.mkv"
    assert run(["refine", str(video), "--face", face, "-o", str(out), *KEEP]) == 0
    for red in redder(out, video):
        halves = red[:, :192], red[:, 192:]
        assert tuple(bool(np.median(half[60:110, 80:110]) > 15) for half in halves) == changed
        assert all(
            more or half[40:150, 50:140].max() <= 2
            for more, half in zip(changed, halves, strict=True)
        )


def test_who_it_is(portrait: Path, clip: Clip, tmp_path: Path, capsys: Any) -> None:
    """The video's own first frame, or what --source shows; another person's picture is warned about."""
    video, out = clip("four.mp4", 4), tmp_path / "out.mkv"
    argv = ["refine", str(video), "-o", str(out), "--identity", "colours", "--overwrite", "--json"]
    assert run(argv) == 0
    own = Blush.sources
    assert Blush.reference_crops and not Blush.source_is_reference  # it may be a real video
    assert run([*argv, "--source", str(portrait)]) == 0
    given = Blush.sources
    assert not Blush.reference_crops and not Blush.source_is_reference  # a picture of another view
    assert run([*argv, "--source", str(video)]) == 0
    assert Blush.reference_crops and Blush.source_is_reference
    assert [len(one) for one in (own, given, Blush.sources)] == [1, 1, 1]
    first, other = (np.abs(one[0].astype(int) - own[0]).mean() for one in (Blush.sources, given))
    assert first < other and not np.array_equal(given[0], own[0])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["warnings"] for line in lines] == [[], [], []]
    green = tmp_path / "green.png"
    save_picture(
        green,
        np.clip(media.read_image(portrait) * np.array([0.7, 1.3, 0.7]), 0, 255).astype(np.uint8),
    )
    assert run([*argv, "--source", str(green)]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert "green.png does not seem to show the person in" in warning


def test_a_source_without_a_face(
    clip: Clip, empty_wall: Image, tmp_path: Path, capsys: Any
) -> None:
    save_picture(tmp_path / "wall.png", empty_wall)
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
        (("--licence", "free"), 5, "--licence free"),
        (("--licence", "free", "--engine", "fadm"), 5, "--licence free"),
        (("--engine", "fadm"), 5, "thcli weights"),
        (("--background", "keep", "--parser", "nobody"), 2, "no parser named"),
        (("--source", "nowhere.png"), 3, "nowhere.png"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    clip: Clip, tmp_path: Path, capsys: Any, wrong: Sequence[str], code: int, words: str
) -> None:
    assert (
        run(["refine", str(clip("four.mp4", 4)), "-o", str(tmp_path / "out.mp4"), *wrong]) == code
    )
    said = capsys.readouterr().err
    assert words in said and "track" not in said
    assert list(tmp_path.iterdir()) == []


def test_never_over_a_file(clip: Clip, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(clip("four.mp4", 4).read_bytes())
    assert run(["refine", str(video), "-q"]) == 0
    assert (tmp_path / "clip_refined.mp4").is_file()
    assert run(["refine", str(video), "-q"]) == 7
    assert run(["refine", str(video), "--overwrite", "-q"]) == 0


def test_dry_run_writes_nothing(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    argv = [
        "refine",
        str(clip("plain.mp4", 24)),
        "-o",
        str(tmp_path / "x.mp4"),
        "--dry-run",
        "--json",
    ]
    assert run(argv) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["dry_run"] and (report["would_make"], report["size"], report["calls"]) == (
        24,
        "192x192",
        3,
    )
    assert report["estimate"] > 0 and report["frames"] == 0
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_refined_too(portrait: Path, tmp_path: Path) -> None:
    assert run(["refine", str(portrait), "-o", str(tmp_path / "out.png"), "-q"]) == 0
    assert np.median(redder(tmp_path / "out.png", portrait)[0][80:140, 100:150]) == pytest.approx(
        RED, abs=3
    )


def test_more_than_eight_bits_are_kept(clip: Clip, tmp_path: Path) -> None:
    video, out = tmp_path / "deep.mkv", tmp_path / "out.mkv"
    with av.open(str(video), "w") as box:
        stream = box.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 192, "yuv444p10le"
        for number, picture in enumerate(islice(pictures(clip("four.mp4", 4)), 2)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
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


def test_batches_do_not_matter_and_threads_hardly(clip: Clip, tmp_path: Path) -> None:
    """Not a bit differs in other batches; torch's sums may round otherwise on another number of threads."""
    argv = [
        "refine",
        str(clip("plain.mp4", 24)),
        "--engine",
        "tiny",
        "--end",
        "0.2",
        "--noise",
        "frame",
        *KEEP,
    ]
    ways = {"a": ("8", "2"), "b": ("1", "2"), "c": ("3", "2"), "e": ("8", "1")}
    for name, (batch, threads) in ways.items():
        assert (
            run(
                [
                    *argv,
                    "-o",
                    str(tmp_path / f"{name}.mkv"),
                    "--batch-size",
                    batch,
                    "--threads",
                    threads,
                ]
            )
            == 0
        )
    made = [pictures(tmp_path / f"{name}.mkv") for name in ways]
    for a, b, c, e in zip(*made, strict=True):
        assert np.array_equal(a, b) and np.array_equal(a, c)
        assert np.abs(a.astype(int) - e).max() <= 1
    assert run([*argv, "-o", str(tmp_path / "d.mkv"), "--seed", "7"]) == 0
    assert not np.array_equal(pictures(tmp_path / "d.mkv")[0], made[0][0])


def test_interrupted_and_resumed_is_the_whole(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ["refine", str(clip("sixty.mp4", 60)), "--resume", *KEEP]
    out, whole = tmp_path / "out.mkv", tmp_path / "whole.mkv"
    honest = RefinePass.frames

    def breaking(*given: Any) -> Iterator[Any]:
        yield from islice(honest(*given), 52)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RefinePass, "frames", breaking)
        assert run([*base, "-o", str(out)]) == 130
    assert not out.exists() and (tmp_path / ".out.mkv.thcli-resume" / "000000.packets").exists()
    assert run([*base, "-o", str(out)]) == 0
    assert run([*base, "-o", str(whole)]) == 0

    def packets(path: Path) -> list[tuple[int | None, bytes]]:
        with av.open(str(path)) as box:
            return [(p.pts, bytes(p)) for p in box.demux(video=0) if p.size]

    assert packets(out) == packets(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mkv", "whole.mkv"]


def test_reenact_refines_in_one_go(portrait: Path, clip: Clip, tmp_path: Path, capsys: Any) -> None:
    """The same as refining the coarse video afterwards, without the file between."""
    argv = [
        "reenact",
        str(portrait),
        str(clip("plain.mp4", 24)),
        "--end",
        "0.24",
        "--codec",
        "ffv1",
    ]
    coarse, one, two = (tmp_path / name for name in ("coarse.mkv", "one.mkv", "two.mkv"))
    assert run([*argv, "-o", str(coarse), "-q"]) == 0
    assert run([*argv, "-o", str(one), "--refine", "auto", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["engine"], report["refiner"], report["frames"], report["warnings"]) == (
        "mesh",
        "blush",
        6,
        [],
    )
    assert Blush.reference_crops and Blush.source_is_reference
    assert any(
        "engine mesh, refined by blush" in words for words in media.probe(one).metadata.values()
    )
    assert run(["refine", str(coarse), "-o", str(two), "--source", str(portrait), *KEEP]) == 0
    for a, b in zip(pictures(one), pictures(two), strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1
    assert np.median(redder(one, coarse)[3][80:140, 100:150]) > 15


def test_reenact_with_a_refiner_that_is_not_here(
    portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    argv = ["reenact", str(portrait), str(clip("four.mp4", 4)), "-o", str(tmp_path / "out.mp4")]
    assert run([*argv, "--refine", "fadm"]) == 5
    assert run([*argv, "--refine", "nobody"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_speak_refines_too(portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VOICES.rows, "jaw", Backend("tests.pipeline.fake_voices:jaw", "a stand-in"))
    sound, out, plain = tmp_path / "a.wav", tmp_path / "out.mkv", tmp_path / "plain.mkv"
    with av.open(str(sound), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            (np.sin(np.arange(4000) * 0.2) * 9000).astype(np.int16)[None], "s16", "mono"
        )
        frame.sample_rate, frame.pts = 16000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    argv = ["speak", str(portrait), str(sound), "--voice", "jaw", *KEEP]
    assert run([*argv, "-o", str(plain)]) == 0
    assert run([*argv, "-o", str(out), "--refine", "blush"]) == 0
    assert np.median(redder(out, plain)[2][80:120, 100:150]) > 15


def test_a_dubbed_clip_is_refined_too(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip as the source has no picture of who it is: its first rendered frame says it."""
    monkeypatch.setitem(
        ENGINES.rows, "shade", Backend("tests.pipeline.test_reenact_video:load", "a stand-in")
    )
    argv = [
        "reenact",
        str(clip("plain.mp4", 24)),
        str(clip("four.mp4", 4)),
        "--engine",
        "shade",
        *KEEP,
    ]
    out, plain = tmp_path / "out.mkv", tmp_path / "plain.mkv"
    assert run([*argv, "-o", str(plain)]) == 0
    assert run([*argv, "-o", str(out), "--refine", "blush"]) == 0
    reds = redder(out, plain)
    assert len(reds) == 4 and min(np.median(red[60:110, 80:110]) for red in reds) > 15


def test_refiners_are_listed(capsys: Any) -> None:
    assert run(["list", "refiners", "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["rows"]]
    assert {"fadm", "blush", "tiny"} <= set(names)
