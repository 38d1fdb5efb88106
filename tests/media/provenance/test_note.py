"""Note for programs in the comment of every output."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.options import OutputOptions, ProvenanceOptions, ReadOptions
from thcli.media.provenance.comment import read_comment
from thcli.media.reading.pixel_limit import PixelLimit
from thcli.media.writing.provenance import Provenance, output_metadata, read_note

LIMIT = PixelLimit.of(ReadOptions())
CONSENT = 'Jörg "J" Doe | {"thcli":1}, 2026-11-21'
MADE = Provenance(
    "reenact", "mesh", options=ProvenanceOptions(label=True, consent=CONSENT), licences={"a": "MIT"}
)
SUFFIXES = [".mp4", ".mov", ".mkv", ".webm", ".gif", ".webp", ".png", ".jpg", ".tiff", ".avif", ""]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_output_keeps_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with media.write(path, (64, 64), plan=media.WritePlan(provenance=MADE)) as out:
        out.write(np.zeros((64, 64, 3), np.uint8), 0)
    comment = read_comment(media.probe(path), LIMIT)
    assert comment.startswith("AI-generated (synthetic) video, made with thcli")
    assert read_note(comment) == MADE.note({})


def test_consent_and_licences_of_earlier_commands_stay() -> None:
    first = output_metadata({"comment": "shot on Monday", "title": "A"}, MADE)
    assert "shot on Monday" in first["comment"]
    refined = Provenance(
        "refine", licences={"b": "CC BY 4.0"}, options=ProvenanceOptions(consent="X")
    )
    second = output_metadata({"COMMENT": first["comment"], "title": "A"}, refined)
    assert sorted(second) == ["comment", "thcli", "title"]
    note = read_note(second["comment"])
    assert note["consent"] == [CONSENT, "X"] and note["licences"] == {"a": "MIT", "b": "CC BY 4.0"}
    assert note["label"] and not note["watermark"] and note["command"] == "refine"
    assert second["comment"].count("AI-generated") == 1


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "shot on Monday",
        '{"thcli":"1", "label":true}',
        'Made with thcli 1 | {"thcli":',
        "Made with thcli 1 | " + '{"thcli":' + "[" * 100_000,
        'Made with thcli 1 | {"thcli":3, "consent":"all", "licences":[1], "label":1}',
    ],
)
def test_comments_without_a_note_have_none(comment: str) -> None:
    assert read_note(comment) == {}
    assert "AI-generated" in output_metadata({"comment": comment}, MADE)["comment"]


@pytest.mark.parametrize("text", ["", "  ", "x" * 501])
def test_consent_is_a_short_text(text: str) -> None:
    with pytest.raises(UsageError, match="--consent must be a text"):
        ProvenanceOptions(consent=text)


def test_the_writer_marks_every_frame_once(tmp_path: Path) -> None:
    """A resumed output holds the same marks, because they do not depend on the frame."""
    options = ProvenanceOptions(label=True, watermark=True)
    plan = media.WritePlan(provenance=Provenance("edit", options=options))
    frames = np.random.default_rng(0).integers(40, 200, (3, 64, 96, 3), np.uint8)
    lossless = OutputOptions(codec="ffv1")
    for name, how in (("plain", media.WritePlan()), ("marked", plan)):
        with media.write(tmp_path / f"{name}.mkv", (96, 64), options=lossless, plan=how) as out:
            for index, pixels in enumerate(frames):
                out.write(pixels, index)
    plain, marked = (
        np.stack([f.pixels for f in media.read(tmp_path / f"{name}.mkv")]).astype(int)
        for name in ("plain", "marked")
    )
    np.testing.assert_array_equal(plain, frames)
    change = (marked - plain)[:, :32]  # above the label
    assert 0 < np.abs(change).max() <= 4
    np.testing.assert_array_equal(change, np.broadcast_to(change[:1], change.shape))


def test_a_resumed_output_has_the_packets_of_an_uninterrupted_one(tmp_path: Path) -> None:
    options = ProvenanceOptions(label=True, watermark=True)
    plan = media.WritePlan(provenance=Provenance("edit", options=options), fingerprint="a")
    frames = np.random.default_rng(0).integers(40, 200, (110, 48, 64, 3), np.uint8)

    def attempt(name: str, stop: int | None) -> int:
        with media.write(
            tmp_path / name, (64, 48), options=OutputOptions(resume=True), plan=plan
        ) as out:
            for index in range(out.done, len(frames)):
                if index == stop:
                    raise KeyboardInterrupt
                out.write(frames[index], index)
        return out.done

    attempt("whole.mp4", None)
    with pytest.raises(KeyboardInterrupt):
        attempt("parts.mp4", 70)
    assert attempt("parts.mp4", None) >= 48
    packets = []
    for name in ("whole.mp4", "parts.mp4"):
        with av.open(str(tmp_path / name)) as file:
            packets.append([(p.pts, p.dts, bytes(p)) for p in file.demux(video=0) if p.size])
    assert packets[0] == packets[1]
