"""Identities that an editor is given in place of a clip's own: moved along attributes, or by words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from thcli.core.errors import UsageError, WeightsError
from thcli.core.events import Listener
from thcli.core.options import (
    PUBLISHED_TEXT,
    EditOptions,
    EditRegion,
    RunOptions,
    TemplateOptions,
    TextOptions,
)
from thcli.core.protocols import Editor
from thcli.core.types import Array32
from thcli.editors.backends import EDITORS, TEXT_MODELS
from thcli.editors.dva import attributes
from thcli.editors.dva.text_edit import learn, stepped
from thcli.editors.edit_file import EditFile
from thcli.editors.shared.text_image import TextImage
from thcli.editors.shared.trajectory import Steerable
from thcli.faces.crops.crop import crop
from thcli.pipeline.editing.request import FLIP, EditRequest, flipped, labels, touched
from thcli.pipeline.editing.steps import Edited, View
from thcli.pipeline.observe.crop_track import place_of

SEEN = 128  # pixels of the crop in which a gender is told
TEXT: Mapping[str, TextOptions] = {
    "dva": PUBLISHED_TEXT
}  # an editor's own, where nothing else is asked for


def by_attributes(
    name: str, strengths: Mapping[str, float], touches: EditRegion, options: EditOptions
) -> Edited:
    """An editor that moves identities along attributes. Raises WeightsError, DeviceError, UsageError."""
    directions = attributes.load_of(name, options.run)
    editor: Editor = EDITORS.backend(name).load(options.run, options.editor)
    if (
        directions.fingerprint
        and isinstance(editor, Steerable)
        and directions.fingerprint != editor.fingerprint
    ):
        raise WeightsError(
            f"The directions of attributes were fitted for other weights of {name}.",
            "Fit them anew: thcli train attributes.",
        )
    return Edited(name, editor, Turned(directions, strengths, options.run), touches)


def by_words(name: str, request: EditRequest, options: EditOptions, on: Listener) -> Edited:
    """An editor that moves identities by words, or by what was learnt of them. Raises WeightsError, DeviceError, UsageError."""
    editor: Editor = EDITORS.backend(name).load(options.run, options.editor)
    if not isinstance(editor, Steerable):
        raise UsageError(f"{name} cannot edit by words.", "Take --engine auto, or --attr.")
    return Edited(
        name,
        editor,
        _worded(request, name, editor, options, on),
        touched(request.text, request.neutral),
    )


def is_man(view: View, run: RunOptions) -> bool:
    """Whether a face looks like a man's rather than a woman's to the default model of words. Raises WeightsError, DeviceError, UsageError."""
    name = TEXT_MODELS.resolve("auto", run)
    if not name:
        raise UsageError(
            "Which gender a face has is told by weights that are for research only.",
            "Ask for --attr male or --attr female.",
        )
    model: TextImage = TEXT_MODELS.backend(name).load(run)
    where = place_of(view.face, TemplateOptions(template="ffhq", size=SEEN))
    pixels = np.asarray(crop(view.crop, where), np.float32) / 255
    with torch.no_grad():
        man, woman = model.encode_text(["a man", "a woman"])
        (seen,) = model.encode_image(torch.from_numpy(pixels).permute(2, 0, 1)[None].to(man.device))
        return bool(seen @ man > seen @ woman)


@dataclass(frozen=True, slots=True)
class Turned:
    """Identities moved along attributes. strengths: by the catalogue's names."""

    directions: attributes.Directions
    strengths: Mapping[str, float]
    run: RunOptions
    file: None = None

    def __call__(self, identity: Array32, view: View, own: Array32) -> Array32:
        man = FLIP in self.strengths and is_man(view, self.run)
        return self.directions.changed(identity, labels(flipped(self.strengths, man)))


def _worded(
    request: EditRequest, name: str, editor: Steerable, options: EditOptions, on: Listener
) -> Worded:
    if request.kept is not None:
        assert options.edit is not None  # it was read from there
        request.kept.check(name, editor.fingerprint, options.edit)
        return Worded(editor, request.kept, request.scale)
    known = TEXT_MODELS.resolve(options.text_model, options.run)
    model = TEXT_MODELS.backend(known).load(options.run)
    model.encode_text(
        [request.neutral, request.text]
    )  # words that it does not know are told before any work
    own = TEXT.get(name, options.words) if options.words == TextOptions() else options.words

    def learnt(view: View) -> EditFile:
        step = learn(
            editor, view.crop, view.face, None, request.neutral, request.text, model, own, on
        )
        return EditFile(
            {}, name, step, 1.0, name, editor.fingerprint, request.neutral, request.text, known
        )

    return Worded(editor, learnt, request.scale)


class Worded:
    """Identities moved by words: by a step that is kept, or learnt of the first face that is seen."""

    def __init__(
        self, editor: Steerable, file: EditFile | Callable[[View], EditFile], scale: float
    ) -> None:
        self._editor, self._file, self._scale = editor, file, scale

    def __call__(self, identity: Array32, view: View, own: Array32) -> Array32:
        if not isinstance(self._file, EditFile):
            self._file = self._file(view)
        assert self._file.step is not None
        return stepped(identity, self._file.step, self._scale, self._editor.units)

    @property
    def file(self) -> EditFile:
        """What was learnt, as strong as it was asked for. Raises ValueError before it was."""
        if not isinstance(self._file, EditFile):
            raise ValueError("nothing has been learnt yet")
        return replace(self._file, scale=self._scale)
