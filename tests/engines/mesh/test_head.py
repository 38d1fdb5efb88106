"""Head beyond the mesh under large turns: outline, depth, texture beside the ears."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.types import Crop
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head import steep_texture
from thcli.engines.mesh.head.cheeks import sides
from thcli.engines.mesh.head.outline import find_outline
from thcli.engines.mesh.prepared_source import prepare
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.source_networks import ParsedSource
from thcli.engines.mesh.surrounding_field import surrounding_displacement
from thcli.engines.mesh.surroundings import Surroundings
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions


@pytest.mark.parametrize("angle", [-45.0, -30.0, 30.0, 45.0])
def test_hidden_outline_points_keep_their_side(angle: float) -> None:
    source = faces.make_source()
    target = faces.make_target(source, turn=(0, angle, 0)).points
    outline = find_outline(target)
    middle = (target[anatomy.FOREHEAD, 0] + target[anatomy.CHIN, 0]) / 2
    right, left = outline.points[5:14, 0], outline.points[23:32, 0]
    assert right.min() > middle > left.max()
    assert outline.push.max() > 0
    assert find_outline(source.mesh).push.max() < 1


@pytest.mark.parametrize("angle", [-45.0, -25.0, 25.0, 45.0])
def test_the_side_of_the_head_is_not_stretched_without_end(angle: float) -> None:
    """Beside the face that turns into view, source columns pass at a steady pace."""
    source = faces.make_source(512, 512)
    target = faces.make_target(source, turn=(0, angle, 0)).points
    texture = steep_texture.texture_positions(source.normals, source.mesh, target)
    size = anatomy.face_height(source.mesh)
    outline = find_outline(target).points
    sign = 1 if outline[9, 0] - target[4, 0] > target[4, 0] - outline[27, 0] else -1
    side = outline[9 if sign > 0 else 27]
    width = round(0.8 * size)
    grid = SampleGrid(int(side[0]) - (0 if sign > 0 else width), int(side[1]), 1, width, 1)
    field = surrounding_displacement(source.mesh, source.surroundings, target, texture, grid)
    columns = (field[0, :, 0] + grid.pixel_axes()[0])[::sign]
    travelled = sign * (columns[-1] - columns[0])
    assert travelled > 0.4 * width
    assert np.abs(np.diff(columns)).max() < 2.0  # source pixels per target pixel


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.25, 0.0), (0.0, -0.25), (-0.2, 0.2)])
@pytest.mark.parametrize("hair", ["squares", "side", "none"])
def test_turns_fold_and_stretch_nothing_beyond_the_face(
    hair: str, shift: tuple[float, float]
) -> None:
    """Even where hair and shoulders alternate, which is as a scarf's colours are read."""
    side, step = 320, 8
    mesh = faces.centred_mesh(side, side, 0.3)
    size = anatomy.face_height(mesh)
    rows, columns = np.mgrid[:side, :side]
    masks = {"squares": (columns // 18 + rows // 40) % 2, "side": columns > side / 2 + 40}
    mask = masks[hair].astype(np.float32) if hair in masks else None
    surroundings = Surroundings(find_outline(mesh), side - 1.0, True, mask)
    grid = SampleGrid(-30 * step, -30 * step, step, 100, 100)
    xs, ys = (axis[:-1].astype(float).tolist() for axis in grid.pixel_axes())
    pivot = mesh.mean(0) + np.array([0, 0.1, 0.3]) * size
    for turn in ((0, 40, 0), (25, 0, 0), (-25, 0, 0), (0, 0, 30), (20, 30, 20), (-20, -30, 25)):
        target = (mesh - pivot) @ matrix_from_rotvec(np.radians(turn)).T + pivot
        target[:, :2] += np.array(shift) * size
        field = surrounding_displacement(mesh, surroundings, target, mesh[:, :2], grid)
        gradient = np.stack([np.diff(field, axis=1)[:-1], np.diff(field, axis=0)[:, :-1]], -1)
        jacobian = gradient / step + np.eye(2)
        outline = find_outline(target).points.astype(np.float32)
        inside = np.array(
            [[cv2.pointPolygonTest(outline, (x, y), True) for x in xs] for y in ys], np.float64
        )
        far = inside < -0.1 * size
        assert np.linalg.det(jacobian)[far].min() > 0.1, turn
        assert np.linalg.svd(jacobian[far], compute_uv=False).max() < 6, turn
        border = np.concatenate([field[[0, -1]].ravel(), field[:, [0, -1]].ravel()])
        assert np.abs(border).max() < 0.01 * size  # nothing is cut off where motion ends


def test_texture_beside_the_ears_moves_inwards_only_as_it_turns_into_view() -> None:
    source = faces.make_source()
    mesh, normal = source.mesh, source.normals
    assert np.array_equal(steep_texture.texture_positions(normal, mesh, mesh), mesh[:, :2])
    small = faces.make_target(source, turn=(0, 6, 0)).points
    assert np.array_equal(steep_texture.texture_positions(normal, mesh, small), mesh[:, :2])
    target = faces.make_target(source, turn=(0, 40, 0)).points
    moved = steep_texture.texture_positions(normal, mesh, target) - mesh[:, :2]
    middle = mesh[:, 0].mean()
    assert (moved[:, 0] * (middle - mesh[:, 0]) >= -1e-6).all()
    length = np.hypot(*moved.T)
    assert 0.02 < length[OVAL].max() / anatomy.face_height(mesh) <= 1.001 * steep_texture.PULL
    one_side = mesh[:, 0] > middle
    assert min(length[one_side].max(), length[~one_side].max()) == 0
    assert length[np.concatenate([anatomy.LEFT_EYE, anatomy.RIGHT_EYE, anatomy.LIPS])].max() == 0


@pytest.mark.parametrize("angle", [-40.0, 40.0])
@pytest.mark.parametrize("haired", ["near", "far", "strand"])
def test_hair_beside_a_border_covers_it_as_it_turns_into_view(angle: float, haired: str) -> None:
    """Skin from further inside was as broad a cheek as the head beneath the hair."""
    whole = faces.make_source(512, 512)
    mesh = whole.mesh
    target = faces.make_target(whole, turn=(0, angle, 0))
    pulled = steep_texture.texture_positions(whole.normals, mesh, target.points)
    middle = mesh[:, 0].mean()
    moved = np.linalg.norm(pulled - mesh[:, :2], axis=1) > 1
    near = np.sign(mesh[moved, 0].mean() - middle)
    edge = np.abs(mesh[OVAL, 0] - middle).max()
    inside = {"near": 0.6, "far": 0.6, "strand": -0.2}[haired] * edge
    side = near if haired != "far" else -near
    beyond = side * (np.arange(512) - middle) > edge - inside
    planes = np.zeros((len(CLASSES), 512, 512), np.float32)
    planes[class_number("hair")], planes[class_number("skin")] = beyond, ~beyond
    regions = Regions(Crop(np.eye(3), (512, 512)), planes)
    face = faces.make_face(mesh, faces.iris_points(mesh))
    source = prepare(whole.image, face, None, parsed=ParsedSource(regions, regions))
    shown = sides.find(source, target.points).texture
    outwards = ((shown - mesh[:, :2]) * (mesh[:, :2] - pulled)).sum(1)
    if haired == "near":
        length = np.linalg.norm(shown - mesh[:, :2], axis=1) / anatomy.face_height(mesh)
        assert outwards[moved].min() > 0
        assert 0.9 * steep_texture.PUSH < length.max() < 1.001 * steep_texture.PUSH
    else:
        assert np.allclose(shown, pulled, atol=1e-6)


@pytest.mark.parametrize("angle", [-38.0, 38.0])
def test_texture_moves_inwards_evenly_along_the_jaw(angle: float) -> None:
    """It began with a step beside the chin, as a notch in the jaw's outline."""
    source = faces.make_source(512, 512)
    target = faces.make_target(source, turn=(0, angle, 0)).points
    normal = source.normals.copy()
    normal[OVAL, 2] = 0  # as steep as those of a narrow face
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    moved = steep_texture.texture_positions(normal, source.mesh, target)
    length = np.linalg.norm(moved - source.mesh[:, :2], axis=1)[OVAL]
    length /= anatomy.face_height(source.mesh)
    chin = len(OVAL) // 2
    for jaw in (length[chin - 8 : chin + 1][::-1], length[chin : chin + 9]):
        assert np.diff(jaw).max() < 0.02 and np.diff(jaw).min() > -0.005
    assert length.max() > 0.8 * steep_texture.PULL
