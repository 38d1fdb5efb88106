"""Face analysis: detection, landmarks, identity, parsing and 3-D models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from thcli.core.options import Template
from thcli.core.types import Array32, Coefficients, Face, Identity, Image


class Detector(Protocol):
    """A face detector."""

    def detect(self, image: Image) -> list[Face]:
        """Detect the faces of one image, highest score first."""
        ...


@runtime_checkable
class FastDetector(Detector, Protocol):
    """A face detector with a cheaper pass, and a closer search where that finds none."""

    def detect_fast(self, image: Image) -> list[Face]:
        """Detect upright faces that are not small, as `detect` does."""
        ...

    def detect_small(self, image: Image) -> list[Face]:
        """Detect upright faces that the fast pass is too coarse for, and larger ones again."""
        ...

    def search(self, image: Image) -> list[Face]:
        """Detect small and rotated faces, as `detect` does where the fast pass finds none."""
        ...


class Landmarker(Protocol):
    """A face landmark network."""

    def fit(self, image: Image, face: Face) -> Face | None:
        """Fit landmarks to a face that is approximately located.

        Args:
            image: the whole image.
            face: with a box, or landmarks of an earlier frame.

        Returns:
            The face with its mesh (468 points), or with points and keypoints; None when the region
            shows no face.
        """
        ...


class IdentityEncoder(Protocol):
    """A face recognition network; see `core.types.Identity`."""

    @property
    def name(self) -> str:
        """Name of the backend."""
        ...

    @property
    def same_person(self) -> float:
        """Least cosine similarity of two embeddings of one person."""
        ...

    def encode_crops(self, crops: Sequence[Image]) -> Array32:
        """Compute the embeddings of many faces.

        Args:
            crops: N aligned crops (112, 112, 3), as `faces.identity.aligned_crop` makes them.

        Returns:
            (N, D) float32, rows of unit length.
        """
        ...

    def identify(self, image: Image, face: Face) -> Identity:
        """Compute the embedding of one face of an image."""
        ...


class CropNetwork(Protocol):
    """A network that processes square crops of faces."""

    @property
    def crop_size(self) -> int:
        """Side of the crops in pixels."""
        ...

    @property
    def template(self) -> Template:
        """Alignment of the crops on the face (`thcli crop --template`)."""
        ...


class Parser(CropNetwork, Protocol):
    """A face parser: segments square crops into the 19 regions of `faces.parsing.CLASSES`."""

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        """Compute the region probabilities of each pixel.

        Args:
            crops: N crops (crop_size, crop_size, 3).
            faces: one per crop, in pixels of the crop, with the mesh where there is one.

        Returns:
            (N, 19, crop_size, crop_size) float32, summing to 1 over the regions.
        """
        ...


class FaceModel(Protocol):
    """A 3-D face model: head pose, identity and expression as parameters."""

    @property
    def expression_names(self) -> Sequence[str]:
        """Names of the columns of `Coefficients.expression`."""
        ...

    @property
    def uses_images(self) -> bool:
        """False for a model that reads landmarks alone."""
        ...

    def fit(self, images: Sequence[Image], faces: Sequence[Face]) -> Coefficients:
        """Fit the model to one or more faces, each in its own image (H, W, 3)."""
        ...
