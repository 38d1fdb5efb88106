"""Warning of `speak` for portraits whose mouth is too far open to be closed."""

from __future__ import annotations

from collections.abc import Sequence

from thcli.core.types import Face
from thcli.motion.canonical import decompose, mouth_opening
from thcli.pipeline.job.job import Job

# Inner lip gap over mouth width. Of 20 open mouths the 18 up to here closed believably (3 to 4.5
# of 5), the two beyond showed their inside (1 and 2): there the landmarks miss the lower lip.
WIDEST = 0.47


def warn_of_open_mouths(name: str, faces: Sequence[Face], job: Job) -> None:
    """Warn of faces that speak with lips which do not close.

    Args:
        name: of the source in the warning.
        faces: faces with or without a mesh.
        job: receives the warning.
    """
    for face in faces:
        opening = 0.0 if face.mesh is None else float(mouth_opening(decompose(face.mesh).shape))
        if opening > WIDEST:
            job.warn(
                f"The mouth of the face in {name} is wide open ({opening:.2f} of its width): its "
                "lips may not close. Choose a picture with the mouth less open."
            )
