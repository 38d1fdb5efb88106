"""`thcli train MODEL`: from a dataset to a run folder with trained weights."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from thcli.core.errors import OutputError, UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import TrainOptions
from thcli.media.failures import unwritable
from thcli.train.core.loop import Trainer
from thcli.train.core.synthetic import SMOKE
from thcli.train.core.task import Data, TrainingTask

# A row each model; loading one never imports the others.
RECIPES = {
    "a2m": "thcli.train.a2m.train:A2m",
    "fadm": "thcli.train.fadm.train:FadmRecipe",
    "diffused-heads": "thcli.train.diffused_heads.train:DiffusedHeadsRecipe",
    "diffused-heads-published": "thcli.train.diffused_heads.published:PublishedRecipe",
    "fomm": "thcli.train.keypoint_models.fomm:Fomm",
    "facevid2vid": "thcli.train.keypoint_models.facevid2vid:FaceVid2Vid",
    "monkeynet": "thcli.train.keypoint_models.monkeynet:MonkeyNet",
    "x2face": "thcli.train.keypoint_models.x2face:X2FaceRecipe",
    "parse": "thcli.train.parse.train:Parse",
    "identity": "thcli.train.identity.train:IdentityRecipe",
    "dva": "thcli.train.dva.train:DvaRecipe",
    "judge": "thcli.train.labelled.judge:JudgeRecipe",
    "clip": "thcli.train.labelled.clip_s:ClipRecipe",
}
# What may change when a run is resumed; everything else decides the losses.
FREE = ("steps", "every", "save", "samples", "device", "threads", "resume", "overwrite", "offline")
DEFAULT = TrainOptions()


def train(
    model: str,
    dataset: Path | None,
    run: Path,
    options: TrainOptions = DEFAULT,
    own: Any = None,
    on: Listener = silent,
) -> dict[str, Any]:
    """Trains a model on a folder of clips; returns the report of `--json`.

    run: a folder for log.jsonl, summary.txt, checkpoints/, samples/ and the weights in the published layout.  own: the model's own
    options.  Raises UsageError, MediaError for the dataset, OutputError for the run folder, WeightsError, DeviceError.
    """
    kind = kind_of(model)
    if options.smoke:
        options = kind.trial(
            replace(
                options,
                steps=options.steps or SMOKE.steps,
                batch=options.batch or SMOKE.batch,
                every=1,
                save=SMOKE.save,
            )
        )
    elif dataset is None:
        raise UsageError(
            "There is no dataset to train on.",
            "Give a folder of clips (thcli prepare), or --smoke.",
        )
    if options.threads:
        torch.set_num_threads(options.threads)
    _check_free(run, options)
    with _data_folder(dataset, kind, options) as folder:
        recipe = recipe_of(model, options, own, on)
        batch = options.batch or recipe.published.batch
        data = recipe.data(folder, batch, on)
        try:
            trainer = Trainer(
                recipe, data, run, batch, config_of(model, options, own, batch, recipe, data), on
            )
            _claim(run, options)  # only now: what is refused leaves nothing behind
            done = trainer()
        finally:
            data.close()
    report = {
        "command": f"train {model}",
        "output": str(done.importable),
        "run": str(run),
        "steps": done.steps,
        "seconds": round(done.seconds, 3),
        "device": str(trainer.device),
        "clips": len(data),
        "perceptual": recipe.perceptual,
        "losses": done.rows[-1]["losses"] if done.rows else {},
        "first_losses": done.rows[0]["losses"] if done.rows else {},
        "use": None,
    }
    if options.narrow == 1 and recipe.options.size == kind.sizes[0]:
        report["use"] = recipe.use(done.importable)
    return report


def kind_of(model: str) -> type[TrainingTask]:
    """The class of a model's recipe."""
    module, _, name = RECIPES[model].partition(":")
    kind: type[TrainingTask] = getattr(import_module(module), name)
    return kind


def recipe_of(model: str, options: TrainOptions, own: Any, on: Listener = silent) -> TrainingTask:
    """A model's recipe with its random beginning. Raises WeightsError for --perceptual vgg19 without it, UsageError."""
    kind = kind_of(model)
    options = replace(options, size=options.size or kind.sizes[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return kind(options, own, on)


def config_of(
    model: str, options: TrainOptions, own: Any, batch: int, recipe: TrainingTask, data: Data
) -> dict[str, Any]:
    """What a resumed run must have in common with its beginning."""
    chosen = {key: value for key, value in asdict(recipe.options).items() if key not in FREE}
    return {
        "model": model,
        **chosen,
        **({} if own is None else asdict(own)),
        "batch": batch,
        "perceptual": recipe.perceptual,
        "data": data.fingerprint,
    }


def _check_free(run: Path, options: TrainOptions) -> None:
    """Raises OutputError when the run folder is in use and neither --resume nor --overwrite is given."""
    used = run.is_file() or (run.is_dir() and any(run.iterdir()))
    if used and not (options.resume or options.overwrite):
        raise OutputError(
            f"{run} is in use.", "Give --resume to go on, --overwrite to begin anew, or another -o."
        )
    if run.is_file():
        raise OutputError(f"{run} is a file, not a folder.", "Give another -o.")


def _claim(run: Path, options: TrainOptions) -> None:
    """Makes the run folder ready. Raises OutputError when it cannot be written."""
    try:
        for name in ("checkpoints", "samples"):
            if not options.resume:
                shutil.rmtree(run / name, ignore_errors=True)
            (run / name).mkdir(parents=True, exist_ok=True)
        if not options.resume:
            (run / "log.jsonl").unlink(missing_ok=True)
        (run / "options.json").write_text(json.dumps(asdict(options), indent=1) + "\n", "utf-8")
    except OSError as exc:
        raise unwritable(run, exc) from exc


@contextmanager
def _data_folder(
    dataset: Path | None, kind: type[TrainingTask], options: TrainOptions
) -> Iterator[Path]:
    """The dataset, or for a trial without one a temporary folder with made clips."""
    if dataset is not None:
        yield dataset
        return
    with tempfile.TemporaryDirectory(prefix="thcli-") as folder:
        kind.trial_data(Path(folder), options)
        yield Path(folder)
