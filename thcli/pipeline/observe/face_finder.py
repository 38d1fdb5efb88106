"""Detection of the faces of an image, and choice among them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from thcli import media
from thcli.core.errors import UsageError, WeightsError
from thcli.core.options import FaceOptions, ReadOptions, RunOptions
from thcli.core.protocols import Detector, IdentityEncoder
from thcli.core.types import Face, Image
from thcli.faces.backends import DETECTORS, LANDMARKERS
from thcli.faces.compositing import person_matte
from thcli.faces.identity.encoder import load_encoder
from thcli.faces.landmarks.detected import fit_detected
from thcli.faces.tracking.camera_motion import CameraMotionEstimator
from thcli.faces.tracking.select import (
    ReferenceFace,
    TrackStatistics,
    is_reference_image,
    read_reference_face,
)
from thcli.faces.tracking.track import MeshLandmarker
from thcli.pipeline.job.job import Job


class RefiningLandmarker(MeshLandmarker, Protocol):
    """A landmarker with a slower, more accurate fit for still images."""

    def refine(self, image: Image, face: Face) -> Face | None: ...


def load_camera_estimator(run: RunOptions) -> CameraMotionEstimator | None:
    """Return an estimator of the camera's motion, None if its person matte is not installed.

    The head then moves with the camera, within the limits of a head.
    """
    try:
        matte = person_matte.load(run)
    except WeightsError:
        return None
    return CameraMotionEstimator(matte.probability)


@dataclass(frozen=True, slots=True)
class FaceFinder:
    """Detector, landmarker and identity encoder of a job."""

    detector: Detector
    landmarker: RefiningLandmarker
    identity: IdentityEncoder | None = None  # loads its network at its first call
    read: ReadOptions = field(default_factory=ReadOptions)  # largest size of a reference image
    run: RunOptions = field(default_factory=RunOptions)

    @classmethod
    def load(
        cls, faces: FaceOptions, run: RunOptions, read: ReadOptions | None = None
    ) -> FaceFinder:
        """Load the backends that `faces` names.

        Raises WeightsError for weights that are not installed.
        """
        return cls(
            DETECTORS.backend(faces.detector).load(run),
            LANDMARKERS.backend(faces.landmarker).load(run),
            load_encoder(faces.identity, run),
            read or ReadOptions(),
            run,
        )

    def camera_estimator(self) -> CameraMotionEstimator | None:
        """Return an estimator of the camera's motion, see `load_camera_estimator`."""
        return load_camera_estimator(self.run)

    def find(self, image: Image, *, mesh: bool = True) -> list[Face]:
        """Return every face of an image with its landmarks, numbered left to right.

        Doubtful ones are left out beside a clear one (`fit_detected`).

        Args:
            image: (H, W, 3) uint8.
            mesh: the caller needs the 468-point mesh; else any layout of points will do.

        Raises:
            UsageError: the landmarker fits no mesh where one is needed.
        """
        faces = sorted(
            fit_detected(image, self.detector, self.landmarker),
            key=lambda face: float(face.box[0] + face.box[2]),
        )
        if mesh and any(face.mesh is None for face in faces):
            raise UsageError(
                "This landmarker fits no mesh, which the command needs.",
                "Use --landmarker facemesh; 'thcli align' takes any landmarker.",
            )
        return [replace(face, track=number) for number, face in enumerate(faces)]

    def refine_landmarks(self, image: Image, face: Face) -> Face:
        """Fit the landmarks of a face in a still image again, more accurately.

        Only their positions improve: the result is for placing crops.
        """
        if face.mesh is None:  # only a mesh has a second, slower fit
            return face
        refined = self.landmarker.refine(image, face)
        return face if refined is None else replace(refined, track=face.track)

    def statistics(self, select: str) -> TrackStatistics:
        """Return empty track statistics for a --face.

        They collect identity embeddings only when `select` is a reference image.
        """
        return TrackStatistics(self.identity if is_reference_image(select) else None)

    def choose(self, statistics: TrackStatistics, select: str, name: str, job: Job) -> list[int]:
        """Return the numbers of the tracks that --face selects.

        Args:
            statistics: all tracks of the input.
            select: value of --face or --source-face.
            name: of the input, for messages.
            job: receives warnings.

        Raises:
            NoFaceError: no track fits.
            UsageError: `select` is not understood.
        """

        def read_reference() -> ReferenceFace:
            return read_reference_face(
                media.read_image(select, options=self.read),
                select,
                self.detector,
                self.landmarker,
                self.identity,
            )

        reference = read_reference if is_reference_image(select) else None
        return statistics.choose(select, job.warn, where=name, reference=reference)
