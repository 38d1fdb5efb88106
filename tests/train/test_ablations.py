"""Switches of the papers' ablations: what is left out stays as it began."""

from __future__ import annotations

import torch

from thcli.core.options import FommTrainOptions, MonkeyNetTrainOptions, TrainOptions
from thcli.train.core.run import create_task
from thcli.train.keypoint_models.fomm import FommTask
from thcli.train.keypoint_models.monkeynet import MonkeyNetTask

TINY = TrainOptions(size=128, narrow=16, perceptual="pyramid", device="cpu", threads=1)


def two_faces() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sources, driving = torch.rand(2, 2, 3, 128, 128, generator=generator)
    return {"sources": sources[:, None], "driving": driving}


def test_the_first_order_model_without_local_maps_and_occlusion() -> None:
    whole = create_task("fomm", TINY, FommTrainOptions())
    task = create_task("fomm", TINY, FommTrainOptions(jacobians=False, occlusion=False, scales=1))
    assert isinstance(task, FommTask) and isinstance(whole, FommTask)
    assert len(task.perceptual_loss.reduce) == 1 and len(whole.perceptual_loss.reduce) == 4
    noise, faces = torch.Generator().manual_seed(0), two_faces()
    terms = task.losses("generator", faces, noise, {})
    assert set(terms) == {"perceptual", "equivariance"}
    torch.autograd.backward(sum(terms.values(), torch.zeros(())))
    assert task.detector.jacobian.weight.grad is None
    assert task.detector.kp.weight.grad is not None
    points = task.detector(faces["driving"])
    assert torch.allclose(points.jacobian, torch.eye(2).expand_as(points.jacobian), atol=1e-5)
    encoded = task.generator.encode(faces["driving"], points)
    assert task.generator.motion(encoded, points).occlusion.min() > 0.9999
    assert task.export_tensors(
        {name: network.state_dict() for name, network in task.networks.items()}
    ).keys() == (
        whole.export_tensors(
            {name: network.state_dict() for name, network in whole.networks.items()}
        ).keys()
    )


def test_the_first_order_model_without_the_loss_of_the_local_maps() -> None:
    task = create_task("fomm", TINY, FommTrainOptions(jacobian_loss=False))
    terms = task.losses("generator", two_faces(), torch.Generator().manual_seed(0), {})
    assert set(terms) == {"perceptual", "equivariance"}
    torch.autograd.backward(sum(terms.values(), torch.zeros(())))
    assert isinstance(task, FommTask) and task.detector.jacobian.weight.grad is not None


def test_monkey_net_without_the_correction_of_its_flow() -> None:
    gradients = []
    for residual in (True, False):
        task = create_task("monkeynet", TINY, MonkeyNetTrainOptions(residual=residual))
        assert isinstance(task, MonkeyNetTask)
        terms = task.losses("generator", two_faces(), torch.Generator().manual_seed(0), {})
        torch.autograd.backward(sum(terms.values(), torch.zeros(())))
        bias = dict(task.generator.named_parameters())[
            "dense_motion_module.hourglass.decoder.conv.bias"
        ]
        assert bias.grad is not None
        gradients.append(bias.grad)
    assert gradients[0][-2:].any() and not gradients[1][-2:].any()
    assert torch.equal(gradients[0][:-2], gradients[1][:-2]) and gradients[1][:-2].any()
