"""Protocol of a model that embeds texts and face images into one space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class TextImageModel(Protocol):
    """Joint embedding of texts and images in rows of unit length.

    A text and an image are close where the text describes the image.

    name: of the backend; an edit file stores it.
    templates: sentences with {} for a text; its embedding is the mean over them.
    encode_text: (N, D), without gradients. Raises UsageError for words that the model cannot know.
    encode_image: (B, 3, H, W) RGB in 0..1 of any size, in FFHQ's crop -> (B, D), differentiable.
    """

    @property
    def name(self) -> str: ...
    @property
    def templates(self) -> Sequence[str]: ...
    def encode_text(self, texts: Sequence[str]) -> Tensor: ...
    def encode_image(self, images: Tensor) -> Tensor: ...
