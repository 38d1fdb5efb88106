"""Steps of an edit behind one interface: editors and painters.

An editor decodes a face with an edited identity. A painter renders attributes on a crop. Each step
extracts features of every crop in pass 1, is finalised once per clip, and renders crops before and
after in pass 2. Their difference is pasted into the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from thcli.core.batches import require_finite
from thcli.core.options import EditRegion, TemplateOptions
from thcli.core.protocols import Editor
from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.editors.edit_file import EditFile
from thcli.faces.crops import align
from thcli.faces.parsing.crops import Regions
from thcli.pipeline.editing.monochrome import keep_monochrome
from thcli.pipeline.editing.recombination import NOTHING_ELSE, Recombination

_MIN_PROBABILITY = 1 / 512  # smaller ones count as zero
_CHANNELS = 4  # planes that OpenCV resamples together


@dataclass(frozen=True, slots=True)
class FaceView:
    """One face as a step sees it.

    image: (S, S, 3) uint8 crop.
    placement: of the crop in the frame.
    face: in pixels of the crop.
    regions: parsed regions of the face.
    seconds: of the frame since the first one of the clip.
    monochrome: 0..1, how surely the clip is monochrome; 0 in pass 1.
    """

    image: Image
    placement: Crop
    face: Face
    regions: Regions
    seconds: float
    monochrome: float = 0.0

    def planes(self) -> Array32:
        """Return the region probabilities (19, S / 2, S / 2) of the crop; they sum to about 1.

        The parser's own resolution is lower still.
        """
        target = align.resize(self.placement, self.placement.size[0] // 2)
        probabilities = self.regions.probabilities
        planes = np.zeros((len(probabilities), *target.size[::-1]), np.float32)
        present = [
            number
            for number in range(1, len(probabilities))
            if float(probabilities[number].max()) > _MIN_PROBABILITY
        ]
        for start in range(0, len(present), _CHANNELS):
            numbers = present[start : start + _CHANNELS]
            stacked = np.asarray(cv2.merge([probabilities[number] for number in numbers]))
            resampled = self.regions.layer_in(target, stacked)
            if resampled is not None:
                layer, (x, y) = resampled
                channels = layer.reshape(*layer.shape[:2], len(numbers))
                rows, columns = slice(y, y + layer.shape[0]), slice(x, x + layer.shape[1])
                planes[numbers, rows, columns] = np.moveaxis(channels, 2, 0)
        planes[0] = np.clip(1 - planes[1:].sum(0), 0, 1)
        return planes


@dataclass(frozen=True, slots=True)
class FaceFeatures:
    """Features of N crops.

    shared: (N, M) float32, averaged over the clip.
    per_frame: (N, L) float32, kept for each frame.
    averaged: (N, P) float32, averaged over the clip but not kept, because it is large.
    """

    shared: Array32
    per_frame: Array32
    averaged: Array32


class Rendered(NamedTuple):
    """A crop before and after a step.

    before, after: (S, S, 3) uint8.
    beside: as in `Painted`.
    """

    before: Image
    after: Image
    beside: Array32 | None = None


class EditStep(Protocol):
    """One editor or painter of an edit."""

    @property
    def name(self) -> str:
        """Name of the backend."""
        ...

    @property
    def affected_region(self) -> EditRegion:
        """Region of the face that may change."""
        ...

    @property
    def whole_crop(self) -> bool:
        """The crop after the step replaces the frame's; else its change is added to the frame."""
        ...

    @property
    def template(self) -> TemplateOptions:
        """Placement and size of the crops."""
        ...

    @property
    def each_frame(self) -> bool:
        """Features of every frame are needed; else those of every second one are enough."""
        ...

    def extract_features(self, views: Sequence[FaceView]) -> FaceFeatures:
        """Extract the features of N crops in pass 1."""
        ...

    def finalize(self, mean: Array32, sample: FaceView, per_frame: Array32) -> Any:
        """Decide the edit of a clip between the passes.

        Args:
            mean: (M + P,) mean of the shared and averaged features of the clip.
            sample: one view of the face.
            per_frame: (L,) features of that view.

        Returns:
            The parameters of `render`.
        """
        ...

    def render(
        self, views: Sequence[FaceView], per_frame: Array32, mean: Array32, parameters: Any
    ) -> list[Rendered]:
        """Render N crops before and after the edit in pass 2.

        Args:
            views: N views.
            per_frame: (N, L) their features.
            mean: as for `finalize`.
            parameters: result of `finalize`.

        Returns:
            N crops.
        """
        ...


class EditedIdentity(NamedTuple):
    """The result of an identity edit.

    identity: (M,) float32.
    shift: (L,) float32 that is added to each frame's landmarks, None where the motion stays.
    """

    identity: Array32
    shift: Array32 | None = None


class IdentityEdit(Protocol):
    """An edit of identities: maps the mean identity of a clip to the edited one."""

    @property
    def file(self) -> EditFile | None:
        """The learnt edit for --save-edit, None when nothing is learnt."""
        ...

    def __call__(self, identity: Array32, view: FaceView, landmarks: Array32) -> EditedIdentity:
        """Edit an identity.

        Args:
            identity: (M,), mean of the clip.
            view: one view of the face.
            landmarks: (L,) features of that view.
        """
        ...


@dataclass(frozen=True, slots=True)
class EditorStep:
    """An editor as a step.

    The crop before the edit is the editor's reconstruction, so that its errors cancel.

    recombination: parts of the face that are another file's.
    """

    name: str
    editor: Editor
    identity_edit: IdentityEdit
    affected_region: EditRegion
    each_frame: bool = True
    recombination: Recombination = NOTHING_ELSE

    @property
    def whole_crop(self) -> bool:
        """See `EditStep`."""
        return self.recombination.whole_crop

    @property
    def template(self) -> TemplateOptions:
        """See `EditStep`."""
        return TemplateOptions(template=self.editor.template, size=self.editor.crop_size)

    def extract_features(self, views: Sequence[FaceView]) -> FaceFeatures:
        """Encode identities and landmarks."""
        images, faces = [view.image for view in views], [view.face for view in views]
        return FaceFeatures(*self.editor.encode(images, faces), no_columns(len(views)))

    def finalize(self, mean: Array32, sample: FaceView, per_frame: Array32) -> EditedIdentity:
        """Edit the identity of the clip. Raises NotFiniteError for NaN or infinity."""
        edited = self.identity_edit(self.recombination.mean_identity(mean), sample, per_frame)
        require_finite(edited.identity)
        return edited

    def render(
        self,
        views: Sequence[FaceView],
        per_frame: Array32,
        mean: Array32,
        parameters: EditedIdentity,
    ) -> list[Rendered]:
        """Decode each crop with the identity before and after the edit."""
        images, editor = [view.image for view in views], self.editor
        before, latents = images, None
        if not self.whole_crop:
            latents = editor.invert(images, mean, per_frame)
            before = editor.decode(latents, mean, per_frame)
        if latents is None or parameters.shift is not None:
            seconds, encoded = [view.seconds for view in views], (mean, per_frame)
            after = self.recombination.decode(editor, images, seconds, encoded, *parameters)
        else:
            after = editor.decode(latents, parameters.identity, per_frame)
        if not self.whole_crop:
            after = [
                keep_monochrome(view.image, old, new, view.monochrome)
                for view, old, new in zip(views, before, after, strict=True)
            ]
        return [Rendered(*pair) for pair in zip(before, after, strict=True)]


def no_columns(count: int) -> Array32:
    """Return features of N crops that have none, (N, 0)."""
    return np.zeros((count, 0), np.float32)


class RunningMean:
    """Mean of rows, independent of the batches in which they come."""

    def __init__(self) -> None:
        self._sum: Array | None = None
        self._count = 0

    def add(self, rows: Array32) -> None:
        """Add rows (N, M)."""
        for row in rows.astype(np.float64):
            self._sum = row if self._sum is None else self._sum + row
            self._count += 1

    def value(self) -> Array32 | None:
        """Return the mean (M,), None without rows."""
        return None if self._sum is None else np.asarray(self._sum / self._count, np.float32)
