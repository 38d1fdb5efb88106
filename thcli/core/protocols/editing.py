"""Refinement and editing of face crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from thcli.core.options import RefineOptions
from thcli.core.protocols.engines import CropView
from thcli.core.protocols.faces import CropNetwork
from thcli.core.types import Array32, Face, Image, Painted


@runtime_checkable
class Refiner(CropView, Protocol):
    """A network that restores detail and geometry of coarsely reenacted crops.

    A refiner is stateless between calls. Random numbers depend on the seed of RunOptions and the
    frame number, not on the batch.
    """

    @property
    def parallel(self) -> bool:
        """True where frames are refined side by side on several threads, on a CPU."""
        ...

    def encode_source(self, image: Image, face: Face) -> Any:
        """Encode the source image and its face once. The result is private to the refiner."""
        ...

    def extract_attributes(self, images: Sequence[Image], faces: Sequence[Face | None]) -> Array32:
        """Extract pose and expression attributes for pass 1.

        They are read from the driving frames, or from the coarse frames where there is no driver.

        Args:
            images: N images.
            faces: the face in pixels of each image, None where it was not detected.

        Returns:
            (N, A) float32.
        """
        ...

    def network_calls(self, options: RefineOptions) -> int:
        """Return the number of network evaluations per frame.

        Raises:
            UsageError: options that the refiner does not support.
        """
        ...

    def refine(
        self,
        coarse: Sequence[Image],
        source: Any,
        driving: Array32,
        frame_numbers: Sequence[int],
        options: RefineOptions,
        reference_crops: Sequence[Image] | None = None,
        *,
        source_is_reference: bool = False,
    ) -> list[Image]:
        """Refine coarse crops.

        Args:
            coarse: N crops (crop_size, crop_size, 3).
            source: result of `encode_source`.
            driving: (N, A) attributes of the frames.
            frame_numbers: the N indices of the frames in their clip.
            options: sampler, number of steps, noise.
            reference_crops: N crops of the source image at the placement of each coarse crop, when
                both show one scene: static regions of the coarse crop are then found in the
                reference crop at the same pixels. None otherwise.
            source_is_reference: True when the user stated that the coarse video was rendered from
                this source. If False, the refiner may classify a frame as camera footage and leave
                it unchanged.

        Returns:
            N crops, uint8 RGB.
        """
        ...


class Editor(CropNetwork, Protocol):
    """A diffusion autoencoder that edits faces in square crops.

    A crop is decomposed into identity, landmarks and a residual latent, and decoded with an edited
    identity. Nothing is random.
    """

    def encode(self, crops: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array32]:
        """Encode crops in pass 1. The identity of a clip is the mean over its frames.

        Args:
            crops: N crops (crop_size, crop_size, 3).
            faces: one per crop, in pixels of the crop.

        Returns:
            Identities (N, I) and landmark features (N, L), float32.
        """
        ...

    def move(
        self, crops: Sequence[Image], landmarks: Array32, target: Array32
    ) -> tuple[list[Image], Array32]:
        """Move what the latents will carry of N crops to other landmarks, before the inversion.

        Args:
            crops: N crops (crop_size, crop_size, 3).
            landmarks: (N, L), from `encode`.
            target: (N, L), with which they will be decoded.

        Returns:
            N crops and the landmarks (N, L) to invert them with; the same where an editor leaves
            the latents in their place.
        """
        ...

    def invert(self, crops: Sequence[Image], identity: Array32, landmarks: Array32) -> Array32:
        """Invert crops to x_T, the latent of what identity and landmarks do not explain.

        Args:
            crops: N crops (crop_size, crop_size, 3).
            identity: (I,), of the clip.
            landmarks: (N, L), from `encode`.

        Returns:
            (N, ...) float32, held for one batch only.
        """
        ...

    def decode(self, latents: Array32, identity: Array32, landmarks: Array32) -> list[Image]:
        """Decode latents with an edited identity.

        Args:
            latents: (N, ...), from `invert`.
            identity: (I,), edited.
            landmarks: (N, L), from `encode`.

        Returns:
            N crops (crop_size, crop_size, 3), uint8 RGB.
        """
        ...


@runtime_checkable
class Painter(CropNetwork, Protocol):
    """A renderer of facial attributes: warps shapes, blends textures and draws objects.

    Several threads measure and paint crops at once. Crops are in the template's alignment; faces
    have their mesh, in pixels of the crop.
    """

    @property
    def attributes(self) -> Sequence[str]:
        """Names of the supported attributes, as in `editors.catalogue`."""
        ...

    @property
    def averaged_only(self) -> bool:
        """True when the appearance is large: averaged over the clip, but not kept per frame."""
        ...

    def measure_appearance(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32
    ) -> Array32:
        """Measure colours of skin and hair and the light in pass 1.

        The appearance of a clip is the mean over its frames.

        Args:
            crops: N crops (crop_size, crop_size, 3).
            faces: one per crop.
            regions: (N, 19, S', S') probabilities from a Parser, of any resolution.

        Returns:
            (N, L) float32.
        """
        ...

    def prepare(self, appearance: Array32, strengths: Mapping[str, float]) -> Any:
        """Decide the edit of a clip, between the passes.

        Args:
            appearance: (L,), of the clip.
            strengths: attribute name -> strength.

        Returns:
            The edit, for `paint`.

        Raises:
            UsageError: the painter cannot do it on this face.
        """
        ...

    def paint(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32, prepared: Any
    ) -> list[Painted]:
        """Apply attributes to crops.

        Args:
            crops: like faces and regions as for `measure_appearance`.
            prepared: result of `prepare`.

        Returns:
            N crops of the same size.
        """
        ...
