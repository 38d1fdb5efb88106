"""`thcli train MODEL`: from a dataset to a run folder with trained weights."""

from __future__ import annotations

import json
import shutil
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
from thcli.core.temp_folders import temporary_folder
from thcli.media.failures import to_output_error
from thcli.train.core.loop import Trainer
from thcli.train.core.synthetic import SMOKE
from thcli.train.core.task import TrainingData, TrainingTask

# One row per model; loading one does not import the others.
TASKS = {
    "a2m": "thcli.train.a2m.train:A2mTask",
    "a2m-published": "thcli.train.a2m.published:PublishedA2mTask",
    "fadm": "thcli.train.fadm.train:FadmTask",
    "fadm-published": "thcli.train.fadm.published:PublishedFadmTask",
    "diffused-heads": "thcli.train.diffused_heads.train:DiffusedHeadsTask",
    "diffused-heads-published": "thcli.train.diffused_heads.published:PublishedDiffusedHeadsTask",
    "fomm": "thcli.train.keypoint_models.fomm:FommTask",
    "facevid2vid": "thcli.train.keypoint_models.facevid2vid:FaceVid2VidTask",
    "real3d": "thcli.train.real3d.train:Real3dTask",
    "real3d-planes": "thcli.train.real3d.train:Real3dPlanesTask",
    "real3d-torso": "thcli.train.real3d.torso:Real3dTorsoTask",
    "monkeynet": "thcli.train.keypoint_models.monkeynet:MonkeyNetTask",
    "x2face": "thcli.train.keypoint_models.x2face:X2FaceTask",
    "x2face-pose": "thcli.train.keypoint_models.x2face_maps:X2FacePoseTask",
    "x2face-audio": "thcli.train.keypoint_models.x2face_maps:X2FaceAudioTask",
    "parse": "thcli.train.parse.train:ParseTask",
    "patches": "thcli.train.patches.train:PatchTask",
    "mouths": "thcli.train.mouths.train:MouthTask",
    "identity": "thcli.train.identity.train:IdentityTask",
    "dva": "thcli.train.dva.train:DvaTask",
    "dva-published": "thcli.train.dva.published:PublishedDvaTask",
    "judge": "thcli.train.labelled.judge:JudgeTask",
    "clip": "thcli.train.labelled.clip_s:ClipTask",
    "resshift": "thcli.train.resshift.train:ResshiftTask",
    "removers": "thcli.train.removers.train:RemoverTask",
}
# Options that may change when a run is resumed; all others affect the losses.
FREE_ON_RESUME = (
    "steps",
    "every",
    "save",
    "samples",
    "device",
    "threads",
    "resume",
    "overwrite",
    "offline",
)
DEFAULT = TrainOptions()


def train(
    model: str,
    dataset: Path | None,
    run: Path,
    options: TrainOptions = DEFAULT,
    model_options: Any = None,
    on: Listener = silent,
) -> dict[str, Any]:
    """Train a model on a dataset and return the report of `--json`.

    Args:
        model: A key of `TASKS`.
        dataset: Folder of the dataset; None only with `options.smoke`.
        run: Folder for log.jsonl, summary.txt, checkpoints/, samples/ and the weights in the
            published layout.
        options: Options of every model.
        model_options: The model's own options; None for a model without any.
        on: Listener for progress and warnings.

    Raises:
        UsageError: Options do not fit, or the run cannot be resumed.
        MediaError: The folder is not a dataset, or a file of it cannot be read.
        OutputError: The run folder is in use or cannot be written.
        WeightsError: Weights that the training needs are missing.
        DeviceError: There is no such device, or it runs out of memory.
    """
    task_type = task_class(model)
    if options.smoke:
        options = task_type.smoke_options(
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
            "Give a dataset folder (see thcli prepare), or --smoke.",
        )
    if options.threads:
        torch.set_num_threads(options.threads)
    _require_unused(run, options)
    with _open_dataset(dataset, task_type, options) as folder:
        task = create_task(model, options, model_options, on)
        batch = options.batch or task.hyperparameters.batch
        data = task.load_data(folder, batch, on)
        try:
            trainer = Trainer(
                task,
                data,
                run,
                batch,
                resume_config(model, options, model_options, batch, task, data),
                on,
            )
            _prepare_run_folder(run, options)  # last, so that a refused run leaves no files
            result = trainer()
        finally:
            data.close()
    report = {
        "command": f"train {model}",
        "output": str(result.importable),
        "run": str(run),
        "steps": result.steps,
        "seconds": round(result.seconds, 3),
        "device": str(trainer.device),
        "clips": len(data),
        "perceptual": task.perceptual,
        "losses": result.rows[-1]["losses"] if result.rows else {},
        "first_losses": result.rows[0]["losses"] if result.rows else {},
        "use": None,
    }
    fits = options.narrow == 1 or task_type.loads_any_width
    if fits and (task.options.size == task_type.sizes[0] or task_type.loads_any_size):
        report["use"] = task.usage_command(result.importable)
    return report


def task_class(model: str) -> type[TrainingTask]:
    """Import and return the task class of a model."""
    module, _, name = TASKS[model].partition(":")
    task_type: type[TrainingTask] = getattr(import_module(module), name)
    return task_type


def create_task(
    model: str, options: TrainOptions, model_options: Any, on: Listener = silent
) -> TrainingTask:
    """Create a model's task with reproducible initial weights.

    Raises:
        UsageError: The options do not fit the model.
        WeightsError: --perceptual vgg19 without its weights, or other missing weights.
    """
    task_type = task_class(model)
    options = replace(options, size=options.size or task_type.sizes[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return task_type(options, model_options, on)


def resume_config(
    model: str,
    options: TrainOptions,
    model_options: Any,
    batch: int,
    task: TrainingTask,
    data: TrainingData,
) -> dict[str, Any]:
    """Return the settings that a resumed run must share with its start."""
    chosen = {
        key: value for key, value in asdict(task.options).items() if key not in FREE_ON_RESUME
    }
    return {
        "model": model,
        **chosen,
        **({} if model_options is None else asdict(model_options)),
        "batch": batch,
        "perceptual": task.perceptual,
        "data": data.fingerprint,
    }


def _require_unused(run: Path, options: TrainOptions) -> None:
    """Raise OutputError when the run folder is in use without --resume or --overwrite."""
    used = run.is_file() or (run.is_dir() and any(run.iterdir()))
    if used and not (options.resume or options.overwrite):
        raise OutputError(
            f"{run} is in use.",
            "Give --resume to continue, --overwrite to start again, or another -o.",
        )
    if run.is_file():
        raise OutputError(f"{run} is a file, not a folder.", "Give another -o.")


def _prepare_run_folder(run: Path, options: TrainOptions) -> None:
    """Create the run folder and remove the files of an earlier run.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        for name in ("checkpoints", "samples"):
            if not options.resume:
                shutil.rmtree(run / name, ignore_errors=True)
            (run / name).mkdir(parents=True, exist_ok=True)
        if not options.resume:
            (run / "log.jsonl").unlink(missing_ok=True)
        (run / "options.json").write_text(json.dumps(asdict(options), indent=1) + "\n", "utf-8")
    except OSError as exc:
        raise to_output_error(run, exc) from exc


@contextmanager
def _open_dataset(
    dataset: Path | None, task_type: type[TrainingTask], options: TrainOptions
) -> Iterator[Path]:
    """Yield the dataset folder, or a temporary folder with synthetic data for a smoke run."""
    if dataset is not None:
        yield dataset
        return
    with temporary_folder() as folder:
        task_type.write_synthetic_data(folder, options)
        yield folder
