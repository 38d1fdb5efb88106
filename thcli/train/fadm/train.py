"""Training of fadm-s: what a coarse frame should be, from the coarse frame, the source, and noise.

Source: Zeng et al. 2023 (FADM), sec. 3. Differs: it predicts the frame (as a change of the coarse one), is told it by L1 and features instead of
the noise, and the true frame's colours are in the alignment loss alone, never in the condition, which at test time would miss them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import FadmTrainOptions, TrainOptions
from thcli.diffusion import process
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.faces.identity.network import IdentityNet
from thcli.refiners.fadm import small
from thcli.refiners.fadm.agcn import Conditions
from thcli.refiners.fadm.alignment import MotionPrior, RefinerInput
from thcli.refiners.fadm.network import Diffusion
from thcli.refiners.fadm.refiner import sampled, steps_of
from thcli.train.core.fast_group_norm import quicken_norms
from thcli.train.core.task import Batch, Data, Phase, Published, Terms, TrainingTask, rising_cosine
from thcli.train.fadm.data import CoarsePairs
from thcli.weights.tensors import load_tensors

TEACHER = "identity-s"  # whose maps say how like two faces look: not the network of the distance `pfd`, by which results are judged
SMALL = 0.02  # a difference (0..1) below which errors count squared
# mean error of a coarse frame below which pairs count alike: what is nearly right already must not be spoilt
CALM = 0.003
EDGES, LOOKS, COLOURS = (
    0.5,
    0.05,
    0.02,
)  # weights of gradients, of the teacher's maps, of the alignment of colours
JUDGED = 4  # items of a batch that the teacher sees
DOUBT, RATHER = (
    0.1,
    0.4,
)  # weight of telling real frames from warped ones, and of a warped one over a real one (there are more of them)
BEGINS = 0.6  # of the items show the step at which the refiner begins
MOST_OFF, RIDGE = (
    6.0,
    0.18,
)  # of the regression that training begins with: pixels that count, and what each pair adds to the squares
MOTION = 0.02  # weight of where things are: a pixel of 192
QUIET = 0.1  # the first layer's weights at the noisy picture, over the usual
WARM, LAST = 60, 0.02  # updates in which the rate rises; of the rate, at the end


class FadmTask(TrainingTask):
    """fadm-s."""

    name = "fadm"
    entry = small.NAME
    exported = ("diffusion",)
    sizes = (small.SIDE, 96)

    def __init__(self, options: TrainOptions, own: FadmTrainOptions, on: Listener) -> None:
        super().__init__(options, own, on)
        self.own = own
        self.published = Published(4, 1, 8, 1e-3)
        shape = replace(small.SHAPE, width=max(8, small.SHAPE.width // options.narrow))
        self.diffusion = Diffusion(shape)
        begin(self.diffusion)
        if own.start:
            tensors = load_tensors(Path(own.start), prefix="diffusion.")
            load_state(
                self.diffusion, {key: value.float() for key, value in tensors.items()}, own.start
            )
            self.diffusion.requires_grad_(True)
        quicken_norms(self.diffusion)
        self.diffusion.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        self.networks = {"diffusion": self.diffusion}
        self.phases = (Phase("refine", ("diffusion",)),)
        self.schedule = self.diffusion.schedule
        self.first = int(
            steps_of(self.schedule, small.FEW).timesteps[-1]
        )  # where the refiner begins, at the coarse frame
        self.teacher = Teacher()
        self.helpers = (self.teacher,)
        self.perceptual = TEACHER

    def data(self, folder: Path, batch: int, on: Listener) -> Data:
        pairs = CoarsePairs(folder, self.options, self.own, batch, on)
        if not self.own.start and not self.options.resume:
            accustom(self.diffusion.denoise_fn.habit, pairs)
        return pairs

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        coarse, truth, inside = batch["coarse"], batch["truth"], batch["inside"]
        index = self.times(len(truth), noise)
        began = (index >= self.first)[:, None, None, None].to(truth.device)
        fresh = torch.randn(truth.shape, generator=noise).to(truth.device)
        x = process.diffuse(self.schedule, torch.where(began, coarse, truth), index, fresh)
        warped = 1 - batch["untouched"]
        read = self.diffusion.look(coarse, batch["source"], batch["motion"], sure=True)
        beside = cast(RefinerInput, read.beside)._replace(gain=warped)
        parts = self.diffusion.denoise_fn.parts(
            x, index.to(truth.device), read._replace(beside=beside), batch["attributes"]
        )
        made = parts.picture(beside)
        wrong = mean_over(size_of(coarse - truth).mean(1, keepdim=True), inside)
        weight = inside / (CALM + wrong)[:, None, None, None] / inside.mean()
        off = made - truth
        looks = [
            (
                ((a - b) ** 2).sum(1, keepdim=True)
                * F.interpolate(weight[:JUDGED], a.shape[2:], mode="area")
            ).mean()
            for a, b in zip(self.teacher(made[:JUDGED]), self.teacher(truth[:JUDGED]), strict=True)
        ]
        far = F.smooth_l1_loss(parts.here, batch["off"], reduction="none").mean(1, keepdim=True)
        doubt = F.binary_cross_entropy_with_logits(
            self.diffusion.denoise_fn.doubt(beside), warped, pos_weight=truth.new_tensor(RATHER)
        )
        return {
            "pixels": (size_of(off) * weight).mean(),
            "edges": EDGES * edges(off, weight),
            "looks": LOOKS * torch.stack(looks).mean(),
            "colours": COLOURS * self.colours(coarse, truth),
            "motion": MOTION * (far * inside).mean(),
            "doubt": DOUBT * doubt,
        }

    def times(self, count: int, noise: torch.Generator) -> Tensor:
        """(count,) steps: most the first one of the refiner's own, where all is to be done; the rest anywhere."""
        anywhere = (torch.rand(count, generator=noise) * len(self.schedule)).long()
        return torch.where(
            torch.rand(count, generator=noise) < BEGINS,
            torch.full_like(anywhere, self.first),
            anywhere,
        )

    def colours(self, coarse: Tensor, truth: Tensor) -> Tensor:
        """How far the condition's colours of the coarse frame are from those of the true one (AGCN's alignment)."""
        patch, agcn = self.diffusion.shape.patch, self.diffusion.denoise_fn.condition_conv
        both = Conditions.of(F.avg_pool2d(coarse, patch), F.avg_pool2d(truth, patch))
        own, driving = agcn.pre_conv_color(both.generated), agcn.pre_conv_color(both.driving)
        apart: Tensor = (own - driving).abs().mean()
        return apart

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        """As the refiner makes them; the same noise every time."""
        coarse = batch["coarse"]
        read = self.diffusion.look(coarse, batch["source"], batch["motion"], sure=True)
        schedule = steps_of(self.schedule, small.FEW)
        fresh = torch.randn(coarse.shape, generator=torch.Generator().manual_seed(0)).to(
            coarse.device
        )
        made = sampled(
            self.diffusion,
            coarse,
            read,
            batch["attributes"],
            lambda step: fresh,
            schedule,
            small.FEW,
        )
        return {
            "source": batch["source"],
            "coarse": coarse,
            "refined": made.clamp(0, 1),
            "truth": batch["truth"],
        }

    def publish(self, path: Path) -> Path:
        """The file that is bundled: the same with the networks in half precision."""
        tensors = load_tensors(path)
        return self.named_entry(
            path, {k: v.half() if small.halved(k) else v for k, v in tensors.items()}
        )

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr, betas=(0.9, 0.99), weight_decay=0.01)

    def rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Rises at first, then falls along a cosine."""
        return rising_cosine(lr, step, steps, WARM, LAST)


class Motions(Protocol):
    """Pairs that tell how they moved and how far off they are (`CoarsePairs.motions`)."""

    def motions(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]: ...


class Teacher(nn.Module):
    """identity-s as a judge of pictures: its maps of any picture, each place of unit length, as LPIPS compares those of others."""

    def __init__(self) -> None:
        """Raises WeightsError when its weights are not here."""
        super().__init__()
        network = IdentityNet()
        network.load_state_dict(
            {key: value.float() for key, value in load_tensors(TEACHER).items()}
        )
        self.network = network.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in 0..1 -> maps at a quarter of the side and three coarser ones."""
        net = self.network
        x = F.relu(net.stem_norm(net.stem(F.avg_pool2d(pictures, 2) * 2 - 1)))
        maps = [x]
        for block in net.blocks:
            x = block(x)
            maps.append(x)
        ends = (maps[0], maps[1], maps[3], maps[5])
        return [F.normalize(found.float(), dim=1, eps=1e-3) for found in ends]


def begin(network: Diffusion) -> None:
    """Sets where training starts: the coarse frame, a little of the source in it; the network sees pictures rather than noise."""
    unet, pixels = network.denoise_fn, 3 * network.shape.patch**2
    first, last = cast(nn.Conv2d, unet.downs[0]), cast(nn.Conv2d, unet.final_conv.block[3])
    with torch.no_grad():
        first.weight[:, 3 : 3 + pixels].mul_(QUIET)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)


def accustom(habit: MotionPrior, pairs: Motions) -> None:
    """Sets the linear map to the ridge regression of what is off on how the picture moved, over all pairs and their mirrored selves."""
    features = habit.map.in_features + 1
    own, both = (
        torch.zeros(features, features, dtype=torch.double),
        torch.zeros(features, habit.map.out_features, dtype=torch.double),
    )
    count = 0
    for motion, off, attributes in pairs.motions():
        count += len(motion)
        known = F.pad(habit.numbers(motion, attributes), (0, 1), value=1.0).double()
        wanted = (
            F.adaptive_avg_pool2d(off.clamp(-MOST_OFF, MOST_OFF) / habit.unit(off), habit.FIELD)
            .flatten(1)
            .double()
        )
        own += known.T @ known
        both += known.T @ wanted
    solved = torch.linalg.solve(own + count * RIDGE * torch.eye(features), both).T
    with torch.no_grad():
        habit.map.weight.copy_(solved[:, :-1])
        habit.map.bias.copy_(solved[:, -1])


def size_of(difference: Tensor) -> Tensor:
    """Element by element: squared below SMALL, absolute above.

    Absolute alone, the many pixels that are right already hold a network that begins with no change at none for good.
    """
    return F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none", beta=SMALL)


def edges(off: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean size of the differences to the right and below, on three scales."""
    total = off.new_zeros(())
    for _ in range(3):
        across, down = off[..., 1:] - off[..., :-1], off[..., 1:, :] - off[..., :-1, :]
        total = (
            total
            + (size_of(across) * weight[..., 1:]).mean()
            + (size_of(down) * weight[..., 1:, :]).mean()
        )
        off, weight = F.avg_pool2d(off, 2), F.avg_pool2d(weight, 2)
    return total / 3


def mean_over(values: Tensor, inside: Tensor) -> Tensor:
    """(B,) means of values (B, 1, S, S) where `inside` is 1."""
    return (values * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1)
