"""Validation of options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass, replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, get_type_hints

import numpy as np
import pytest

from thcli.core import options
from thcli.core.errors import UsageError
from thcli.core.options import (
    EditOptions,
    MotionOptions,
    OutputOptions,
    PasteOptions,
    ReadOptions,
    ReenactOptions,
    RunOptions,
    StudyOptions,
    TrainOptions,
)


@pytest.mark.parametrize(
    ("make", "flag"),
    [
        (lambda: ReadOptions(start=-1), "--start"),
        (lambda: ReadOptions(start=5, end=5), "--end"),
        (lambda: OutputOptions(crf=99), "--crf"),
        (lambda: OutputOptions(fps=0), "--fps"),
        (lambda: MotionOptions(strength=4), "--strength"),
        (lambda: MotionOptions(smooth=-0.1), "--smooth"),
        (lambda: RunOptions(device="tpu"), "--device"),
        (lambda: RunOptions(batch_size=0), "--batch-size"),
        (lambda: RunOptions(seed=-1), "--seed"),
        (lambda: RunOptions(seed=2**32), "--seed"),
        (lambda: TrainOptions(seed=-1), "--seed"),
        (lambda: StudyOptions(seed=-1), "--seed"),
    ],
)
def test_out_of_range_is_a_usage_error(make: Any, flag: str) -> None:
    with pytest.raises(UsageError, match=flag) as caught:
        make()
    assert caught.value.exit_code == 2


def test_defaults_are_valid() -> None:
    assert ReenactOptions().run == RunOptions()


CLASSES = [v for v in vars(options).values() if isinstance(v, type) and is_dataclass(v)]


@pytest.mark.parametrize("group", CLASSES)
def test_a_class_has_the_title_of_its_panel_and_a_sentence_for_each_option(group: type) -> None:
    title = (group.__doc__ or "").splitlines()[0]
    assert title.endswith(".") and len(title.split()) <= 4, title
    for item in fields(group):
        text = item.metadata.get("help")
        assert text is None or (text.endswith(".") and text[0] == text[0].strip()), item.name


# Options whose text is never a path: names, lists of names, words and numbers.
WORDS = {
    *("ask", "truth", "reference", "consent", "pose_code"),
    *("apart", "attr", "blink", "codec", "codecs", "coarse_engine", "detector", "device", "editor"),
    *("emotion", "engine", "expression", "gaze", "hold_out", "identity", "label", "landmarker"),
    "memory_verbs",
    *("model3d", "neutral"),
    *("only", "parser", "persons", "preset", "rates", "refine", "regions", "speakers", "teacher"),
    *("tested", "text", "text_model", "tune", "voice"),
}


def option_fields() -> Iterator[tuple[str, Field[Any], str]]:
    """Yield every field of every option class: class, field and type as text."""
    for module in iter_modules(options.__path__):
        members = vars(import_module(f"thcli.core.options.{module.name}"))
        for kind in members.values():
            if isinstance(kind, type) and is_dataclass(kind):
                hints = get_type_hints(kind)
                for item in fields(kind):
                    yield kind.__name__, item, str(hints[item.name])


def test_every_path_is_declared_as_input_or_output() -> None:
    """The fingerprint of --resume reads inputs and leaves out outputs."""
    seen = list(option_fields())
    paths = [(kind, item) for kind, item, hint in seen if "Path" in hint]
    texts = [
        (kind, item)
        for kind, item, hint in seen
        if "str" in hint and "Literal" not in hint and item.name not in WORDS
    ]
    undeclared = [
        (kind, item.name)
        for kind, item in [*paths, *texts]
        if item.metadata["path"] not in ("input", "numbered input", "output")
    ]
    assert len(paths) > 5 and len(texts) > 5 and not undeclared


WRONG = [
    (ReadOptions, {"end": "0.5"}, "--end must be a number, or None, not '0.5'"),
    (ReadOptions, {"start": None}, "--start must be a number, not None"),
    (RunOptions, {"batch_size": 2.5}, "--batch-size must be a whole number"),
    (RunOptions, {"batch_size": True}, "--batch-size must be a whole number"),
    (RunOptions, {"offline": "no"}, "--offline must be True or False"),
    (RunOptions, {"device": 0}, "--device must be text"),
    (OutputOptions, {"audio": 5}, "--audio must be text"),
    (EditOptions, {"attr": "smiling"}, "--attr must be a list of text, or None"),
    (EditOptions, {"attr": ["smiling", 1]}, "--attr must be a list of text, or None"),
    (PasteOptions, {"blend": 1}, "--blend must be 'feather' or 'laplacian' or 'poisson'"),
    (ReenactOptions, {"read": {"end": 1}}, "--read must be of the class ReadOptions"),
]


@pytest.mark.parametrize(("options", "given", "words"), WRONG)
def test_a_value_of_another_type_is_a_usage_error(
    options: type[Any], given: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        options(**given)
    assert options.__name__ in caught.value.hint


def test_values_of_the_right_type_pass() -> None:
    numbers: Any = {"start": np.float32(0.5), "end": np.int64(2)}
    assert ReadOptions(**numbers).end == 2
    path: Any = Path("voice.wav")
    assert OutputOptions(audio=path).audio == path
    assert replace(RunOptions(), batch_size=3).batch_size == 3
    with pytest.raises(UsageError, match="--start must be a number"):
        ReadOptions("1")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", CLASSES, ids=lambda options: options.__name__)
def test_every_option_class_checks_types(options: type[Any]) -> None:
    name = next(item.name for item in fields(options) if item.init)
    with pytest.raises(UsageError, match="must be"):
        options(**{name: object()})
