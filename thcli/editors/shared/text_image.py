"""What a text edit is steered by: a model that puts texts and pictures of faces into one space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class TextImage(Protocol):
    """Texts and pictures as rows of unit length, near each other where a text says what a picture shows.

    name: of the backend, which an edit file keeps.  templates: sentences with {} in place of a text, over which a text is averaged.  encode_text: (N, D), without gradients; raises UsageError for words that the model
    cannot know.  encode_image: (B, 3, H, W) RGB in 0..1, faces cut as FFHQ's are, of any size -> (B, D), differentiable.
    """

    @property
    def name(self) -> str: ...
    @property
    def templates(self) -> Sequence[str]: ...
    def encode_text(self, texts: Sequence[str]) -> Tensor: ...
    def encode_image(self, pictures: Tensor) -> Tensor: ...
