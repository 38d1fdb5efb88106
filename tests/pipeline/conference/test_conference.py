"""`transmit` and `receive`: frames, stamps, sound, pictures, pipes, damage."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

import thcli
from tests.pipeline.command_line import to_argv
from tests.pipeline.conftest import Clip
from thcli import media
from thcli.cli.app import run
from thcli.core.errors import MediaError, UsageError
from thcli.core.options import MotionOptions, ReceiveOptions, RunOptions, TransmitOptions
from thcli.core.types import Frame, Motion
from thcli.engines.backends import ENGINES
from thcli.faces.compositing.pixel_ops import OPENCV
from thcli.motion.codec.format import Tag, pack, read_header, read_packets
from thcli.motion.file.buffer import MotionBuffer
from thcli.weights.backend import Backend

RUN = RunOptions(device="cpu", threads=1)
CPU = "--device cpu --threads 1 -q"
VFR = [0, 40, 100, 140, 300, 340, 420, 460]  # milliseconds


def packets_of(path: Path) -> list[tuple[Tag, bytes]]:
    with path.open("rb") as file:
        read_header(file)
        return list(read_packets(file))


def times_of(path: Path) -> list[Fraction]:
    with media.read(path) as frames:
        return [frame.pts * frame.time_base for frame in frames]


@pytest.fixture(scope="module")
def sent(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the stream of a clip of variable frame rate with sound, and a frame without a face."""
    path = tmp_path_factory.mktemp("sent") / "talk.thc"
    source = clip("vfr-tone.mp4", 8, pts=VFR, without=range(3, 4), tone=True)
    assert run(to_argv("transmit", source, "-o", path, CPU)) == 0
    return path


def test_every_frame_in_gives_a_frame_out_with_its_stamp(
    sent: Path, portrait: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    report = thcli.receive(portrait, sent, out, ReceiveOptions(run=RUN))
    assert report.frames == 8 and report.details["complete"]
    assert times_of(out) == [Fraction(pts, 1000) for pts in VFR]
    with av.open(str(out)) as file:
        (sound,) = file.streams.audio
        assert sound.codec_context.name == "opus"
        ticks = sum(packet.duration or 0 for packet in file.demux(sound))
        assert abs(float(ticks * (sound.time_base or 0)) - 0.32) < 0.05
    assert "AI-generated" in media.probe(out).metadata["comment"]


def test_a_pipe_has_the_bytes_of_a_file_and_gives_the_same_frames(
    sent: Path,
    clip: Clip,
    portrait: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    piped = io.BytesIO()
    monkeypatch.setattr(
        "sys.stdout", SimpleNamespace(buffer=piped, flush=lambda: None, isatty=lambda: False)
    )
    source = clip("vfr-tone.mp4", 8, pts=VFR, without=range(3, 4), tone=True)
    thcli.transmit(source, "-", TransmitOptions(run=RUN))
    assert piped.getvalue() == sent.read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(piped.getvalue())))
    one, two = tmp_path / "one.mkv", tmp_path / "two.mkv"
    lossless = "--codec ffv1"
    assert run(to_argv("receive", portrait, "-", "-o", one, lossless, CPU)) == 0
    assert run(to_argv("receive", portrait, sent, "-o", two, lossless, CPU)) == 0
    with media.read(one) as a, media.read(two) as b:
        for left, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(left.pixels, right.pixels)


def test_dry_runs_name_the_output_and_write_nothing(
    sent: Path, clip: Clip, portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = clip("thirty.mp4", 30)
    words = f"--dry-run {CPU} --json"
    assert run(to_argv("transmit", source, "-o", tmp_path / "a.thc", words)) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["would_make"]) == (0, 30) and report["estimate"] > 0
    assert report["output"] == str(tmp_path / "a.thc") and "motion_kbits" not in report
    assert run(to_argv("receive", portrait, sent, "-o", tmp_path / "a.mp4", words)) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["would_make"], report["output"]) == (8, str(tmp_path / "a.mp4"))
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_receive_reads_all_of_the_stream(
    sent: Path, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It renders the first frames alone, and names damage behind them."""
    monkeypatch.setattr("thcli.pipeline.dry_run.TRIAL_FRAMES", 2)
    content, options = bytearray(sent.read_bytes()), ReceiveOptions(run=RUN, dry_run=True)
    assert thcli.receive(portrait, sent, tmp_path / "a.mp4", options).details["would_make"] == 8
    content[-8] ^= 1
    damaged = tmp_path / "damaged.thc"
    damaged.write_bytes(content)
    with pytest.raises(MediaError, match=f"^{damaged} is not a valid motion stream"):
        thcli.receive(portrait, damaged, tmp_path / "a.mp4", options)
    with pytest.raises(UsageError, match=f"^{sent} has no pictures"):
        thcli.receive(None, sent, tmp_path / "a.mp4", options)
    damaged.write_bytes(sent.read_bytes()[:31])
    with pytest.raises(MediaError, match=f"^{damaged} has no frame"):
        thcli.receive(portrait, damaged, tmp_path / "a.mp4", options)


def test_a_dry_run_of_receive_names_content_that_is_damaged_and_a_missing_end(
    sent: Path, portrait: Path, tmp_path: Path
) -> None:
    options, cut = ReceiveOptions(run=RUN, dry_run=True), tmp_path / "cut.thc"
    cut.write_bytes(sent.read_bytes()[:-30])
    events: list[Any] = []
    report = thcli.receive(portrait, cut, tmp_path / "a.mp4", options, events.append)
    words = [event.message for event in events if isinstance(event, thcli.Warned)]
    assert [word for word in words if word.startswith(f"{cut} breaks off after")]
    assert not report.details["complete"]
    with sent.open("rb") as file:
        header = read_header(file).pack()
    cut.write_bytes(header + pack(Tag.MOTION, b"\xff" * 9) + pack(Tag.END))
    with pytest.raises(MediaError, match=f"^{cut} is not a valid motion stream"):
        thcli.receive(portrait, cut, tmp_path / "a.mp4", options)


class Taps(io.BytesIO):
    """A stream that ends with an error when more is read than has been allowed."""

    allowed = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None and self.tell() + size <= self.allowed, "read ahead"
        return super().read(size)


def test_no_packet_waits_for_the_next(sent: Path) -> None:
    """Each frame is decoded from its own bytes: the delay is the frame's own."""
    content = sent.read_bytes()
    file = Taps(content)
    file.allowed = 60
    read_header(file)
    ends, plain = [], io.BytesIO(content)
    read_header(plain)
    for _ in read_packets(plain):
        ends.append(plain.tell())
    packets = read_packets(file)
    for end in ends:
        file.allowed = end
        next(packets)


def test_pictures_travel_in_the_stream(clip: Clip, tmp_path: Path) -> None:
    stream, out = tmp_path / "talk.thc", tmp_path / "out.mkv"
    source = clip("five.mp4", 5)
    assert run(to_argv("transmit", source, "-o", stream, "--key-frame image", CPU)) == 0
    assert [tag for tag, _ in packets_of(stream)][:2] == [Tag.PICTURE, Tag.MOTION]
    assert run(to_argv("receive", stream, "-o", out, "--codec ffv1", CPU)) == 0
    with media.read(source) as truth, media.read(out) as found:
        pairs = [(a.pixels.astype(int), b.pixels) for a, b in zip(truth, found, strict=True)]
    errors = [float(np.abs(a - b).mean()) for a, b in pairs]
    copied = [float(np.abs(a - pairs[0][1]).mean()) for a, _ in pairs]
    assert len(pairs) == 5 and errors[0] < 8 and errors[-1] < copied[-1], (errors, copied)


def test_a_drifting_picture_is_sent_again(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender renders its own stream; here every rendering counts as far off."""
    monkeypatch.setattr("thcli.pipeline.conference.sending._DRIFT", -1.0)
    monkeypatch.setattr("thcli.pipeline.conference.sending._PICTURE_GAP", 0.1)
    stream = tmp_path / "talk.thc"
    options = TransmitOptions(key_frame="image", run=RUN)
    report = thcli.transmit(clip("five.mp4", 5), stream, options)
    assert report.details["pictures"] == 2 and report.details["keys"] == 2
    assert report.details["pictures_kbits"] > report.details["motion_kbits"]


def test_a_stream_that_breaks_off_gives_its_frames(
    sent: Path, portrait: Path, tmp_path: Path
) -> None:
    cut, out = tmp_path / "cut.thc", tmp_path / "out.mkv"
    cut.write_bytes(sent.read_bytes()[:-30])
    warnings: list[Any] = []
    report = thcli.receive(portrait, cut, out, ReceiveOptions(run=RUN), warnings.append)
    assert 4 <= report.frames < 8 and not report.details["complete"]
    words = [event.message for event in warnings if isinstance(event, thcli.Warned)]
    assert any("breaks off after" in word for word in words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b"", "empty"),
        (lambda b: b"RIFF" + b[4:], "does not begin with THCM"),
        (lambda b: b[:4] + b"\x07" + b[5:], "version 7"),
        (lambda b: b[:45] + bytes([b[45] ^ 255]) + b[46:], "damaged packet"),
        (lambda b: b[:31], "has no frame"),
    ],
)
def test_damage_ends_with_a_sentence(
    change: Any, words: str, sent: Path, portrait: Path, tmp_path: Path, capsys: Any
) -> None:
    bad, out = tmp_path / "bad.thc", tmp_path / "out.mp4"
    bad.write_bytes(change(sent.read_bytes()))
    assert run(to_argv("receive", portrait, bad, "-o", out, CPU)) == 3
    said = capsys.readouterr().err
    assert words in said and said.count("thcli: ") == 1 and not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("transmit CLIP --engine fomm", "has no codec"),
        ("transmit CLIP --quality 40", "within 0..16"),
        ("transmit - ", "no default output"),
        ("receive SENT", "has no pictures"),
        ("receive FACE SENT --engine facevid2vid", "cannot render motion of kind mesh"),
        ("receive FACE SENT SENT", "not 3 files"),
    ],
)
def test_what_cannot_be_done_is_refused(
    words: str, message: str, sent: Path, portrait: Path, clip: Clip, capsys: Any
) -> None:
    files = {"CLIP": clip("five.mp4", 5), "SENT": sent, "FACE": portrait}
    argv = [str(files.get(word, word)) for word in words.split()]
    assert run([*argv, *CPU.split()]) == 2
    assert message in capsys.readouterr().err


class TinyCropEngine:
    """Crop engine of kind facevid2vid whose picture grows brighter with the yaw."""

    motion_kind, parallel = "facevid2vid", False
    crop_size, template, mask = 64, "square", None

    def encode_source(self, image: Any, face: Any) -> Any:
        return image

    def encode_frames(self, frames: Any) -> Any:
        return frames

    def observe(self, frames: Any, faces: Any) -> Motion:
        count = len(frames)
        assert all(frame.pixels.shape == (64, 64, 3) for frame in frames)
        arrays = {
            "angles": np.array([[frame.pts / 4, 0, 0] for frame in frames], np.float32),
            "shift": np.zeros((count, 3), np.float32),
            "expression": np.zeros((count, 15, 3), np.float32),
        }
        pts = np.array([frame.pts for frame in frames], np.int64)
        return Motion("facevid2vid", pts, frames[0].time_base, np.ones(count, bool), arrays)

    def retarget(self, source: Any, motion: Any, options: MotionOptions) -> Any:
        return motion

    def reads_driver(self, source: Any, motion: Any) -> bool:
        return False

    def render(self, source: Any, motion: Motion, frames: Any) -> Any:
        yaw = motion.arrays["angles"][:, 0]
        return [np.full_like(source, int(np.clip(20 + angle, 0, 255))) for angle in yaw]


def load_tiny(run: RunOptions, options: object = None) -> TinyCropEngine:
    return TinyCropEngine()


def test_facevid2vid_travels(
    clip: Clip, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "tests.pipeline.conference.test_conference:load_tiny"
    monkeypatch.setitem(ENGINES.rows, "facevid2vid", Backend(name, "tiny"))
    stream, out = tmp_path / "talk.thc", tmp_path / "out.mkv"
    engine = "--engine facevid2vid"
    assert run(to_argv("transmit", clip("five.mp4", 5), "-o", stream, engine, CPU)) == 0
    with stream.open("rb") as file:
        assert read_header(file).kind == "facevid2vid"
    assert run(to_argv("receive", portrait, stream, "-o", out, "--codec ffv1", CPU)) == 0
    with media.read(out) as frames:
        centres = [float(frame.pixels[128, 128].mean()) for frame in frames]
    assert len(centres) == 5 and centres == sorted(centres) and centres[-1] > centres[0]


def test_a_face_that_leaves_is_followed_by_another() -> None:
    from thcli.pipeline.conference.sending import FaceChooser

    def face(track: int, side: float) -> thcli.Face:
        return thcli.Face(np.array([0, 0, side, side], np.float32), 0.9, track=track)

    def frame(pts: int) -> Frame:
        return Frame(np.zeros((2, 2, 3), np.uint8), pts, Fraction(1, 10), pts)

    chooser, small, large = FaceChooser(), face(1, 10), face(2, 30)
    assert chooser.choose(frame(0), [small]) == (small, True)
    assert chooser.choose(frame(1), [small, large]) == (small, False)
    assert chooser.choose(frame(5), [large]) == (None, False)
    assert chooser.choose(frame(12), [large]) == (large, True)


def test_motion_buffer_is_enough_for_a_renderer() -> None:
    """A frame that shows no face repeats the image before it."""
    from thcli.motion.codec.frames import CodedFrame
    from thcli.pipeline.conference.live_rendering import LiveRenderer

    image = np.zeros((64, 64, 3), np.uint8)
    bare = thcli.Face(np.array([8, 8, 56, 56], np.float32), 0.9)
    engine = TinyCropEngine()
    renderer = LiveRenderer(engine, image, None, OPENCV)
    pixels = Frame(image, 40, Fraction(1, 25), 0)
    row = engine.observe([pixels], [bare])
    assert renderer.render(CodedFrame(row, 1, True, True)) is image
    assert len(MotionBuffer(row)) == 1
