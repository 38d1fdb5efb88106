"""Edits of a clip's identity by attribute or by text."""

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
from thcli.editors.dva.text_edit import EditFrame, apply_step, learn_step
from thcli.editors.edit_file import EditFile
from thcli.editors.shared.text_image import TextImageModel
from thcli.editors.shared.trajectory import SteerableEditor
from thcli.faces.crops.crop import crop
from thcli.pipeline.editing.request import (
    GENDER,
    EditRequest,
    celeba_strengths,
    resolve_gender,
    text_region,
)
from thcli.pipeline.editing.steps import EditedIdentity, EditorStep, FaceView
from thcli.pipeline.observe.crop_templates import crop_placement

GENDER_CROP_SIZE = 128  # pixels of the crop in which gender is classified
# Text options of an editor when the user gives none.
EDITOR_TEXT_OPTIONS: Mapping[str, TextOptions] = {"dva": PUBLISHED_TEXT}


def load_attribute_step(
    name: str, strengths: Mapping[str, float], affected_region: EditRegion, options: EditOptions
) -> EditorStep:
    """Load an editor that moves identities along attribute directions.

    Args:
        name: backend of the editor.
        strengths: by the names of the catalogue.
        affected_region: region that may change.
        options: of the edit.

    Raises:
        WeightsError: weights are not installed, or the directions belong to others.
        DeviceError: the device cannot be used.
        UsageError: options that the editor does not support.
    """
    directions = attributes.load_for_editor(name, options.run)
    editor: Editor = EDITORS.backend(name).load(options.run, options.editor)
    if (
        directions.fingerprint
        and isinstance(editor, SteerableEditor)
        and directions.fingerprint != editor.fingerprint
    ):
        raise WeightsError(
            f"The attribute directions were fitted to other weights of {name}.",
            "Fit them again: thcli train attributes.",
        )
    edit = AttributeEdit(directions, strengths, options.run)
    return EditorStep(name, editor, edit, affected_region)


def load_recombined_step(name: str, options: EditOptions) -> EditorStep:
    """Load an editor that changes nothing but what `options.recombine` replaces.

    Raises as `load_attribute_step`.
    """
    editor: Editor = EDITORS.backend(name).load(options.run, options.editor)
    return EditorStep(name, editor, KeptIdentity(), "all")


def load_text_step(
    name: str, request: EditRequest, options: EditOptions, on: Listener
) -> EditorStep:
    """Load an editor that moves identities by a text, or by the step of an edit file.

    Args:
        name: backend of the editor.
        request: text or edit file.
        options: of the edit.
        on: listener for the progress of learning.

    Raises:
        WeightsError: weights are not installed.
        DeviceError: the device cannot be used.
        UsageError: the editor does not support texts, or an unknown word.
    """
    editor: Editor = EDITORS.backend(name).load(options.run, options.editor)
    if not isinstance(editor, SteerableEditor):
        raise UsageError(f"{name} cannot edit by text.", "Use --engine auto, or --attr.")
    edit = _load_text_edit(request, name, editor, options, on)
    return EditorStep(name, editor, edit, text_region(request.text, request.neutral))


def is_man(view: FaceView, run: RunOptions) -> bool:
    """Classify a face as a man's or a woman's with the default text-image model.

    Raises:
        WeightsError: weights are not installed.
        DeviceError: the device cannot be used.
        UsageError: the licence excludes the model.
    """
    name = TEXT_MODELS.resolve("auto", run)
    if not name:
        raise UsageError(
            "The classification of gender needs weights that are for research only.",
            "Use --attr male or --attr female.",
        )
    model: TextImageModel = TEXT_MODELS.backend(name).load(run)
    template = TemplateOptions(template="ffhq", size=GENDER_CROP_SIZE)
    aligned = crop(view.image, crop_placement(view.face, template))
    pixels = np.asarray(aligned, np.float32) / 255
    with torch.no_grad():
        man, woman = model.encode_text(["a man", "a woman"])
        batch = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(man.device)
        (embedding,) = model.encode_image(batch)
        return bool(embedding @ man > embedding @ woman)


@dataclass(frozen=True, slots=True)
class KeptIdentity:
    """The identity as it is, for recombinations without an edit."""

    file: None = None

    def __call__(self, identity: Array32, view: FaceView, landmarks: Array32) -> EditedIdentity:
        """See `IdentityEdit`."""
        return EditedIdentity(identity)


@dataclass(frozen=True, slots=True)
class AttributeEdit:
    """An identity edit along attribute directions.

    directions: of the editor's identities.
    strengths: by the names of the catalogue.
    run: device of the gender classifier.
    """

    directions: attributes.IdentityDirections
    strengths: Mapping[str, float]
    run: RunOptions
    file: None = None

    def __call__(self, identity: Array32, view: FaceView, landmarks: Array32) -> EditedIdentity:
        """See `IdentityEdit`."""
        male = GENDER in self.strengths and is_man(view, self.run)
        strengths = celeba_strengths(resolve_gender(self.strengths, male))
        moved = self.directions.move_identity(identity, strengths)
        return EditedIdentity(moved, self.directions.shift_landmarks(strengths))


def _load_text_edit(
    request: EditRequest, name: str, editor: SteerableEditor, options: EditOptions, on: Listener
) -> TextEdit:
    if request.edit_file is not None:
        assert options.edit is not None  # path of the edit file
        request.edit_file.check(name, editor.fingerprint, options.edit)
        return TextEdit(editor, request.edit_file, request.scale)
    model_name = TEXT_MODELS.resolve(options.text_model, options.run)
    model = TEXT_MODELS.backend(model_name).load(options.run)
    model.encode_text([request.neutral, request.text])  # reports unknown words before any work
    text_options = options.words
    if text_options == TextOptions():
        text_options = EDITOR_TEXT_OPTIONS.get(name, options.words)

    def learn(view: FaceView) -> EditFile:
        frame = EditFrame(view.image, view.face)
        step = learn_step(editor, frame, request.neutral, request.text, model, text_options, on)
        return EditFile(
            {}, name, step, 1.0, name, editor.fingerprint, request.neutral, request.text, model_name
        )

    return TextEdit(editor, learn, request.scale)


class TextEdit:
    """An identity edit by the step of a text.

    The step is given, or learnt from the first view of the face.
    """

    def __init__(
        self,
        editor: SteerableEditor,
        edit_file: EditFile | Callable[[FaceView], EditFile],
        scale: float,
    ) -> None:
        self._editor, self._edit_file, self._scale = editor, edit_file, scale

    def __call__(self, identity: Array32, view: FaceView, landmarks: Array32) -> EditedIdentity:
        """See `IdentityEdit`."""
        if not isinstance(self._edit_file, EditFile):
            self._edit_file = self._edit_file(view)
        assert self._edit_file.step is not None
        step, lengths = self._edit_file.step, self._editor.part_lengths
        return EditedIdentity(apply_step(identity, step, self._scale, lengths))

    @property
    def file(self) -> EditFile:
        """The step with its scale. Raises ValueError before it is learnt."""
        if not isinstance(self._edit_file, EditFile):
            raise ValueError("the step is not learnt yet")
        return replace(self._edit_file, scale=self._scale)
