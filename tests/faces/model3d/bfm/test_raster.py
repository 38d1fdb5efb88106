"""Rasteriser of face models: equality with a brute-force one, conventions, speed paths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faces.model3d.bfm.made_model import made_model
from thcli.core.types import Array32
from thcli.faces.model3d.bfm import camera, zbuffer
from thcli.faces.model3d.bfm.model import FaceModel3D, Indices
from thcli.faces.model3d.bfm.raster import (
    Raster,
    project_pixels,
    rasterise,
    rasterise_pncc,
)
from thcli.faces.model3d.bfm.raster_tensor import TensorPnccRasteriser, rasterise_tensor

SIZE = 24


def brute_force(vertices: Array32, triangles: Indices, colours: Array32, size: int) -> Raster:
    """Draw one frame by testing every pixel against every triangle, one after another."""
    column, row, inverse = project_pixels(vertices, size)
    image = np.zeros((colours.shape[1], size, size), np.float32)
    nearest = np.full((size, size), -np.inf, np.float32)
    index = np.full((size, size), -1, np.int32)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    for number, (a, b, c) in enumerate(triangles):
        if min(inverse[[a, b, c]]) <= 0:
            continue
        dx, dy = ([axis[v] - place for v in (a, b, c)] for axis, place in ((column, x), (row, y)))
        edges = [dx[i] * dy[j] - dx[j] * dy[i] for i, j in ((1, 2), (2, 0), (0, 1))]
        inside = (np.min(edges, 0) > 0) | (np.max(edges, 0) < 0)
        weights = [edge * inverse[v] for edge, v in zip(edges, (a, b, c), strict=True)]
        total = weights[0] + weights[1] + weights[2]
        area = edges[0] + edges[1] + edges[2]
        depth = np.full_like(nearest, -np.inf)
        np.divide(total, area, out=depth, where=inside)
        won = depth > nearest
        nearest[won], index[won] = depth[won], number
        shares = [weight[won] / total[won] for weight in weights]
        for channel in range(len(image)):
            values = shares[0] * colours[a, channel] + shares[1] * colours[b, channel]
            image[channel][won] = values + shares[2] * colours[c, channel]
    return Raster(image[None], index[None])


def random_mesh(seed: int, vertices: int, triangles: int, spread: float) -> tuple[Array32, Indices]:
    """Return random vertices around the origin and random triangles, some of them degenerate."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1.3, 1.3, (vertices, 3)).astype(np.float32)
    corners = rng.integers(0, vertices, (triangles, 3))
    if spread < 1:  # small triangles around random vertices
        extra = points[corners[:, 0]][:, None] + spread * rng.standard_normal((triangles, 3, 3))
        points = np.concatenate([points, extra.reshape(-1, 3).astype(np.float32)])
        corners = vertices + np.arange(3 * triangles).reshape(-1, 3)
    return points, corners


@given(
    st.integers(0, 2**32 - 1),
    st.integers(3, 30),
    st.integers(1, 60),
    st.sampled_from([0.02, 0.1, 0.3, 1.0]),
)
@settings(max_examples=60)
def test_equal_to_brute_force(seed: int, vertices: int, triangles: int, spread: float) -> None:
    """All pixels have the triangle and the colours of brute force, on both paths."""
    points, corners = random_mesh(seed, vertices, triangles, spread)
    colours = np.random.default_rng(seed).random((len(points), 3), np.float32)
    wanted = brute_force(points, corners, colours, SIZE)
    found = rasterise(points[None], corners, colours, SIZE)
    np.testing.assert_array_equal(found.triangles, wanted.triangles)
    np.testing.assert_array_equal(found.colours, wanted.colours)
    tensors = rasterise_tensor(
        torch.from_numpy(points)[None], torch.from_numpy(corners), torch.from_numpy(colours), SIZE
    )
    np.testing.assert_array_equal(tensors.triangles.numpy(), wanted.triangles)
    np.testing.assert_array_equal(tensors.colours.numpy(), wanted.colours)


def test_large_triangles_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    points, corners = random_mesh(3, 20, 40, 1.0)
    colours = np.random.default_rng(3).random((len(points), 2), np.float32)
    wanted = rasterise(points[None], corners, colours, 64)
    assert (wanted.triangles >= 0).mean() > 0.5
    monkeypatch.setattr("thcli.faces.model3d.bfm.raster_tensor._PAIRS", 1000)
    tensors = rasterise_tensor(
        torch.from_numpy(points)[None], torch.from_numpy(corners), torch.from_numpy(colours), 64
    )
    np.testing.assert_array_equal(tensors.triangles.numpy(), wanted.triangles)


def test_behind_the_camera_and_outside_the_image() -> None:
    """A triangle with a vertex behind the camera and one beside the image leave no pixel."""
    points = np.array(
        [[0, 0, 11], [1, 0, 0], [0, 1, 0], [30, 0, 0], [31, 0, 0], [30, 1, 0]], np.float32
    )
    raster = rasterise(points[None], np.array([[0, 1, 2], [3, 4, 5]]), points, SIZE)
    assert (raster.triangles == -1).all() and not raster.colours.any()


@pytest.fixture(scope="module")
def model() -> FaceModel3D:
    return made_model(3)


def expressions(count: int) -> Array32:
    return np.random.default_rng(5).standard_normal((count, 64)).astype(np.float32)


def test_landmarks_lie_where_the_camera_projects_them(model: FaceModel3D) -> None:
    """Coordinates drawn as colours come back at the projected landmarks: axes, pixel centres."""
    vertices = model.vertices(np.zeros(80), np.zeros((1, 64)))
    size = 224
    drawn = rasterise(vertices, model.triangles, vertices[0], size)
    points = model.landmarks68(np.zeros(80), np.zeros(64))
    pixels = camera.project(points, np.zeros((1, 3)), np.zeros((1, 3)))[0] * size - 0.5
    for landmark in (30, 33, 36, 45, 48, 54, 57):
        x, y = np.round(pixels[landmark]).astype(int)
        assert drawn.triangles[0, y, x] >= 0
        # a pixel is 0.044 decimetres wide
        np.testing.assert_allclose(drawn.colours[0, :2, y, x], points[0, landmark, :2], atol=0.03)


def test_colours_are_perspective_correct() -> None:
    """The middle of a receding edge in the image is nearer than the middle of the edge."""
    points = np.array([[-1, -1, 5], [-1, 1, 5], [1, 0, -5]], np.float32)
    drawn = rasterise(points[None], np.array([[0, 1, 2]]), points, 225)
    row = drawn.triangles[0, 112] >= 0
    columns = np.flatnonzero(row)
    x = (columns - 112) / 1015 * 224 / 225  # slope of the ray
    # along y = 0 the points are (t, 0, -5t), and the slope of a ray is t / (10 + 5t)
    t = 10 * x / (1 - 5 * x)
    np.testing.assert_allclose(drawn.colours[0, 0, 112, columns], t, atol=1e-4)
    np.testing.assert_allclose(drawn.colours[0, 2, 112, columns], -5 * t, atol=1e-3)


def test_pncc(model: FaceModel3D) -> None:
    """Colours are the normalised mean shape's, eyes are open, the background is -1."""
    images = rasterise_pncc(model, np.zeros(80), np.zeros((1, 64)))
    assert images.shape == (1, 3, 512, 512) and images.dtype == np.float32
    assert images.min() == -1 and images.max() <= 1
    points = model.landmarks68(np.zeros(80), np.zeros(64))
    pixels = camera.project(points, np.zeros((1, 3)), np.zeros((1, 3)))[0] * 512 - 0.5
    face = images[0].max(0) > -1
    for corners in ((36, 39), (42, 45)):
        x, y = np.round(pixels[list(corners)].mean(0)).astype(int)
        assert not face[y, x]
    nose = np.round(pixels[30]).astype(int)
    wanted = 2 * model.ncc[model.keypoints68[30]] - 1
    np.testing.assert_allclose(images[0, :, nose[1], nose[0]], wanted, atol=0.02)
    assert 0.3 < face.mean() < 0.6
    closed = rasterise(
        model.vertices(np.zeros(80), np.zeros((1, 64))), model.triangles, model.ncc, 512
    )
    assert (closed.triangles[0] >= 0).sum() > face.sum() + 1000


def test_the_first_triangle_is_never_shown(model: FaceModel3D) -> None:
    """Its pixels are background, though it hides what is behind it."""
    vertices = model.vertices(np.zeros(80), expressions(1))
    raster = rasterise(vertices, model.open_triangles, 2 * model.ncc - 1)
    first = raster.triangles[0] == 0
    assert first.any()
    image = rasterise_pncc(model, np.zeros(80), expressions(1))[0]
    assert (image[:, first] == -1).all()
    shown = raster.triangles[0] > 0
    # sums of a matrix product differ
    np.testing.assert_allclose(image[:, shown], raster.colours[0][:, shown], atol=1e-5)
    assert (image[:, raster.triangles[0] < 0] == -1).all()


def test_threads_and_batches_change_nothing(model: FaceModel3D) -> None:
    rows = expressions(5)
    alone = np.concatenate([rasterise_pncc(model, np.ones(80) / 9, row[None]) for row in rows])
    for threads in (1, 3):
        together = rasterise_pncc(model, np.ones(80) / 9, rows, threads=threads)
        assert np.mean(np.abs(together - alone) > 1e-5) < 1e-4  # sums of a matrix product differ


def test_tensor_pncc_is_the_same(model: FaceModel3D) -> None:
    rows = expressions(2)
    wanted = rasterise_pncc(model, np.zeros(80), rows, 128)
    made = TensorPnccRasteriser(model, np.zeros(80), torch.device("cpu"), 128)
    found = made.draw(torch.from_numpy(rows)).numpy()
    assert np.mean(np.abs(found - wanted) > 1e-5) < 1e-4


def test_pixels_on_an_edge_belong_to_no_triangle() -> None:
    """As in PyTorch3D: a centre must lie strictly inside, also between two triangles."""
    corners = np.array([[0, 1, 2], [1, 3, 2]], np.uint32)
    square = np.array([[1, 1, 1], [5, 1, 1], [1, 5, 1], [5, 5, 1]], np.float32)  # halved
    colours = np.ones((4, 1), np.float32)
    image, nearest = np.zeros((1, 7, 7), np.float32), np.full((7, 7), -np.inf, np.float32)
    triangles = np.full((7, 7), -1, np.int32)
    zbuffer.draw(square, corners, colours, 0, image, nearest, triangles)
    wanted = np.full((7, 7), -1)
    for y, x in np.ndindex(3, 3):
        if x + y != 2:
            wanted[y + 2, x + 2] = x + y > 2
    np.testing.assert_array_equal(triangles, wanted)
    np.testing.assert_allclose(image[0], wanted >= 0, rtol=1e-6)
    np.testing.assert_allclose(nearest[wanted >= 0], 1, rtol=1e-6)


@pytest.mark.parametrize("corner", range(3))
def test_a_vertex_that_is_no_number_leaves_no_pixel(corner: int) -> None:
    points = np.array([[-1, -1, 0], [1, -1, 0], [0, 1, 0]], np.float32)
    assert (rasterise(points[None], np.array([[0, 1, 2]]), points, SIZE).triangles == 0).any()
    points[corner] = np.nan
    raster = rasterise(points[None], np.array([[0, 1, 2]]), points, SIZE)
    assert (raster.triangles == -1).all() and not raster.colours.any()
