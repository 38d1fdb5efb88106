"""Log of tracked faces: read back by track, in windows of any size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thcli.core.errors import MediaError
from thcli.core.types import Face, Frame
from thcli.faces.tracking.head_motion import Similarity
from thcli.pipeline.observe.track_log import FrameReadings, TrackLog


def frame(index: int, width: int = 8) -> Frame:
    return Frame(np.zeros((6, width, 3), np.uint8), 40 * index + 7, Fraction(1, 1000), index, 40)


def face(track: int, index: int) -> Face:
    mesh = np.full((468, 3), track + index / 100, np.float32)
    return Face(
        np.arange(4, dtype=np.float32),
        0.5,
        None,
        mesh,
        np.zeros((2, 5, 2), np.float32),
        20.0,
        track,
    )


@given(
    st.lists(st.sets(st.integers(0, 2)), min_size=1, max_size=40),
    st.integers(1, 50),
    st.integers(0, 3),
)
def test_faces_are_read_back_by_track(seen: list[set[int]], size: int, track: int) -> None:
    with TrackLog() as log:
        for i, tracks in enumerate(seen):
            log.add(frame(i), [face(t, i) for t in sorted(tracks)])
        windows = list(log.windows(track, size))
    frames = [f for fs, _ in windows for f in fs]
    faces = [f for _, fs in windows for f in fs]
    assert [(f.index, f.pts, f.duration) for f in frames] == [
        (i, 40 * i + 7, 40) for i in range(len(seen))
    ]
    assert [f is not None for f in faces] == [track in tracks for tracks in seen]
    for i, found in enumerate(faces):
        if found is not None:
            assert found.mesh is not None and found.mesh[5, 1] == np.float32(track + i / 100)
            assert (found.track, found.logit) == (track, 20.0)


@given(
    st.lists(st.sets(st.integers(0, 2)), min_size=1, max_size=40),
    st.integers(1, 50),
    st.integers(0, 3),
)
def test_head_motions_stay_with_their_face(seen: list[set[int]], size: int, track: int) -> None:
    with TrackLog() as log:
        for i, tracks in enumerate(seen):
            motions = [Similarity(1 + t * 1j, 7j * i) if i % 3 else None for t in sorted(tracks)]
            faces = [face(t, i) for t in sorted(tracks)]
            log.add(frame(i), faces, measured=FrameReadings(motions))
        found = [motion for window in log.head_motions(track, size) for motion in window]
    assert found == [
        Similarity(1 + track * 1j, 7j * i) if track in tracks and i % 3 else None
        for i, tracks in enumerate(seen)
    ]


def test_a_change_of_the_frame_size_is_rejected() -> None:
    with TrackLog() as log:
        log.add(frame(0), [])
        with pytest.raises(MediaError, match="size changes at frame 1"):
            log.add(frame(1, width=9), [])


def test_motions_of_camera_and_torso_are_read_back_by_frame() -> None:
    with TrackLog() as log:
        for i in range(5):
            seen, torso = Similarity(1 + 0.25j * i, i), Similarity(1, complex(0, i))
            log.add(
                frame(i),
                [],
                measured=FrameReadings(
                    camera=seen if i != 2 else None, torso=(torso, 6) if i != 3 else None
                ),
            )
        cameras, torsos, others = log.cameras(1, 3), log.torsos(6, 1, 3), log.torsos(0, 1, 3)
    assert cameras == [Similarity(1 + 0.25j, 1), Similarity(), Similarity(1 + 0.75j, 3)]
    assert torsos == [Similarity(1, 1j), Similarity(1, 2j), None]
    assert others == [None] * 3  # another person's
