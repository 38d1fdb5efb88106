"""Random access to frames, and pairs of frames that follow from (seed, step)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from thcli import media
from thcli.core.errors import MediaError
from thcli.core.events import Event, Warned
from thcli.core.options import TrainOptions
from thcli.train.data.dataset import compute_fingerprint, list_clips
from thcli.train.data.frames import ClipCache, ClipReader, crop_square
from thcli.train.keypoint_models.pairs import FramePairs

OPTIONS = TrainOptions(size=128)


def test_random_access_gives_the_frames_of_sequential_reading(clips: Path) -> None:
    with media.read(clips / "one.mp4") as reader:
        wanted = [frame.pixels for frame in reader]
    clip = ClipReader(clips / "one.mp4")
    assert len(clip) == len(wanted) == 8
    for index in (7, 0, 5, 5, 2, 6):
        assert np.array_equal(clip.frame(index), wanted[index])
    clip.close()


def test_the_cache_keeps_few_clips_open(clips: Path) -> None:
    cache = ClipCache(most=1)
    one = cache.clip(clips / "one.mp4")
    assert cache.clip(clips / "one.mp4") is one
    cache.clip(clips / "two.mp4")
    assert cache.clip(clips / "one.mp4") is not one
    cache.close()


def test_the_square_crop_is_centred() -> None:
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 10:30] = 255
    assert crop_square(image, 20).min() == 1 and crop_square(image, 10).shape == (10, 10, 3)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


def test_items_follow_from_seed_and_step(clips: Path) -> None:
    first, second = (
        FramePairs(clips, OPTIONS, 3, views=2),
        FramePairs(clips, replace(OPTIONS, threads=3), 3, views=2),
    )
    wanted = [dict(first.batch(step)) for step in range(3)]
    assert wanted[0]["sources"].shape == (3, 2, 3, 128, 128) and wanted[0]["driving"].shape == (
        3,
        3,
        128,
        128,
    )
    assert same(dict(second.batch(2)), wanted[2]) and same(dict(second.batch(0)), wanted[0])
    assert not same(wanted[0], wanted[1])
    other = FramePairs(clips, replace(OPTIONS, seed=1), 3, views=2)
    assert not torch.equal(other.batch(0)["driving"], wanted[0]["driving"])
    assert same(dict(first.sample_batch()), dict(second.sample_batch()))
    for data in (first, second, other):
        data.close()


def test_an_epoch_shows_every_clip_once(clips: Path) -> None:
    data = FramePairs(clips, OPTIONS, 2)
    people = [tuple(sorted(data.batch(step)["person"].tolist())) for step in range(4)]
    assert people == [(0, 1)] * 4
    data.close()


def test_augmentation_keeps_range_and_pairs_together(clips: Path) -> None:
    plain, strong = (
        FramePairs(clips, replace(OPTIONS, jitter=0, flip=False), 4),
        FramePairs(clips, replace(OPTIONS, jitter=0.5), 4),
    )
    for step in range(3):
        a, b = plain.batch(step), strong.batch(step)
        assert float(b["driving"].min()) >= 0 and float(b["driving"].max()) <= 1
        assert torch.equal(a["person"], b["person"]) and not torch.allclose(
            a["driving"], b["driving"], atol=0.02
        )
        # both frames have the same colour change: their difference in mean colour stays small
        gap = (b["driving"].mean((2, 3)) - b["sources"][:, 0].mean((2, 3))).abs().max()
        assert float(gap) < 0.06
    plain.close()
    strong.close()


def test_without_motion_files_the_head_pose_is_unknown(clips: Path) -> None:
    events: list[Event] = []
    data = FramePairs(clips, OPTIONS, 2, on=events.append)
    assert data.batch(0)["known"].tolist() == [0, 0]
    words = " ".join(e.message for e in events if isinstance(e, Warned))
    assert "the head pose is unknown" in words and "not made by `thcli prepare`" in words
    data.close()


def test_invalid_datasets_are_refused(tmp_path: Path, clips: Path) -> None:
    with pytest.raises(MediaError, match="not a folder"):
        list_clips(tmp_path / "absent")
    with pytest.raises(MediaError, match="holds no clips"):
        list_clips(tmp_path)
    (tmp_path / "index.csv").write_text("clip,origin\nlost.mp4,a\n")
    with pytest.raises(MediaError, match=r"lost\.mp4"):
        list_clips(tmp_path)
    (tmp_path / "index.csv").write_text("name\nx\n")
    with pytest.raises(MediaError, match="columns clip and origin"):
        list_clips(tmp_path)
    (tmp_path / "index.csv").unlink()
    (tmp_path / "text.mp4").write_text("no video")
    data = FramePairs(tmp_path, OPTIONS, 1)
    with pytest.raises(MediaError, match=r"text\.mp4"):
        data.batch(0)
    assert compute_fingerprint(list_clips(tmp_path)) != compute_fingerprint(list_clips(clips))
