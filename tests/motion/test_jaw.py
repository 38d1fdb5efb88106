"""Chin and jaw of a mouth that closes though it is wide open in the source."""

import numpy as np

from thcli.motion import anatomy, canonical, closure
from thcli.motion.canonical import lip_gaps, neutral
from thcli.motion.closure import set_lips
from thcli.motion.sliders import load_slider_shapes

EVERYWHERE = np.ones((468, 1))


def test_lips_close_narrow_mouths_alone_and_the_jaw_does_wide_ones() -> None:
    narrow = neutral() + 0.15 * load_slider_shapes().jaw
    wide = neutral() + 1.5 * load_slider_shapes().jaw
    for shape, moves in ((narrow, False), (wide, True)):
        closed, gaps = shape[None].copy(), np.zeros((1, 9))
        closure.close_jaw(closed, gaps, EVERYWHERE, load_slider_shapes().jaw)
        assert (closed[0, anatomy.CHIN, 1] < shape[anatomy.CHIN, 1] - 0.05) == moves
        assert np.array_equal(closed[0], shape) != moves
        left = lip_gaps(closed).mean()
        np.testing.assert_allclose(left, min(lip_gaps(shape).mean(), closure.LIPS_CLOSE), atol=1e-9)


def test_a_chin_follows_the_lip_of_a_wide_open_source_only() -> None:
    opened = neutral() + load_slider_shapes().jaw
    set_lips(opened[None], np.full((1, 9), 0.3))
    assert canonical.mouth_opening(opened) > closure.WIDE_RANGE[1]
    closed = opened[None].copy()
    set_lips(closed, np.zeros((1, 9)))
    drawn_out = closure.chin_height(closed)[0]
    most = closure.MOST_CHIN * closure.chin_height(opened)
    assert drawn_out > 1.1 * most
    kept = closed.copy()
    closure.raise_chin(kept, neutral(), EVERYWHERE)  # a source whose mouth is shut
    assert np.array_equal(kept, closed)
    closure.raise_chin(closed, opened, EVERYWHERE)
    np.testing.assert_allclose(closure.chin_height(closed)[0], most)
    assert np.array_equal(lip_gaps(closed), lip_gaps(kept))
    assert np.array_equal(closed[:, [10, 33, 263, 1]], kept[:, [10, 33, 263, 1]])


def test_lips_that_open_do_not_swallow_the_chin() -> None:
    opened = neutral()[None].copy()
    set_lips(opened, np.full((1, 9), 1.2))
    least = closure.LEAST_CHIN * closure.chin_height(neutral())
    assert closure.chin_height(opened)[0] < 0.8 * least
    kept = opened.copy()
    closure.lower_chin(kept, neutral(), EVERYWHERE)
    np.testing.assert_allclose(closure.chin_height(kept)[0], least)
    assert np.array_equal(lip_gaps(kept), lip_gaps(opened))
    again = kept.copy()
    closure.lower_chin(again, neutral(), EVERYWHERE)
    np.testing.assert_allclose(again, kept)
    spoken = neutral()[None] + 0.4 * load_slider_shapes().jaw
    unchanged = spoken.copy()
    closure.lower_chin(unchanged, neutral(), EVERYWHERE)
    assert np.array_equal(unchanged, spoken)
