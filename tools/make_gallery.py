"""Make the pictures of README and docs with the default weights.

    python tools/make_gallery.py DRIVER SPEECH docs/images FACE FACE

The pictures there are made from grid_s20_brbk7n.mp4 and grid_s23_lrwp9a.mp4 (GRID corpus),
london_042_neutral.jpg (Face Research Lab London Set; both CC BY 4.0) and a reproduction of the Mona
Lisa. The first face is always scikit-image's astronaut (public domain).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

import thcli
from thcli.evaluate.datasets.sample_clip import photograph

Picture = npt.NDArray[np.uint8]
SIDE = 224  # pixels of a cell
EVERY = 2  # frames of a clip to one of the moving picture
EDITS = ("smiling", "beard", "eyeglasses", "old", "makeup")
LOSSLESS = thcli.OutputOptions(codec="ffv1")
CROPPED = thcli.ReenactOptions(framing="crop", output=LOSSLESS)


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("driver", "speech", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("faces", type=Path, nargs="+")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as room:
        work = Path(room)
        faces = [work / "astronaut.png", *given.faces]
        Image.fromarray(photograph()).save(faces[0])
        reenact(faces, given.driver, work, given.output)
        speak(faces, given.speech, work, given.output)
        edit(work / "0.mkv", work, given.output)
        refine(faces[1], work / "1.mkv", work, given.output)


def reenact(faces: Sequence[Path], driver: Path, work: Path, output: Path) -> None:
    """Animate every face: a moving picture beside the driver, and still frames of the first."""
    clips = [frames(driver)]
    for number, face in enumerate(faces):
        made = work / f"{number}.mkv"
        thcli.reenact(face, driver, made, CROPPED)
        clips.append(frames(made))
    moving = [Image.fromarray(np.concatenate(row, 1)) for row in zip(*clips, strict=False)]
    moving[0].save(
        output / "reenact.webp",
        save_all=True,
        append_images=moving[EVERY::EVERY],
        duration=40 * EVERY,
        loop=0,
        quality=70,
    )
    sheet([("driver", spread(clips[0])), ("result", spread(clips[1]))], output / "reenact.jpg")


def speak(faces: Sequence[Path], speech: Path, work: Path, output: Path) -> None:
    """Let two faces say a sentence."""
    rows = []
    for number, face in enumerate(faces[:2]):
        made = work / f"speak{number}.mkv"
        thcli.speak(
            face,
            speech,
            made,
            thcli.SpeakOptions(framing="crop", output=LOSSLESS),
        )
        rows.append(("", spread(frames(made))))
    sheet(rows, output / "speak.jpg")


def edit(clip: Path, work: Path, output: Path) -> None:
    """Edit a clip by several attributes."""
    columns = [("before", pick(frames(clip)))]
    for name in EDITS:
        made = work / f"edit-{name}.mkv"
        options = thcli.EditOptions(attr=[name], output=LOSSLESS)
        thcli.edit(clip, made, options)
        columns.append((name, pick(frames(made))))
    rows = [("", [images[number] for _, images in columns]) for number in range(2)]
    sheet(rows, output / "edit.jpg", [name for name, _ in columns])


def refine(face: Path, clip: Path, work: Path, output: Path) -> None:
    """Refine a clip that was blurred."""
    coarse, made = work / "coarse.mkv", work / "refined.mkv"
    blurred = (
        np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1.6)))
        for image in frames(clip)
    )
    thcli.write_frames(coarse, blurred, LOSSLESS, fps=25)
    thcli.refine(coarse, made, thcli.RefineJobOptions(source=str(face), output=LOSSLESS))
    sheet(
        [("coarse", spread(frames(coarse))), ("refined", spread(frames(made)))],
        output / "refine.jpg",
    )


def frames(path: Path) -> list[Picture]:
    """Return the middle squares of a short clip's frames at SIDE."""
    return [_square(np.asarray(frame.pixels, np.uint8)) for frame in thcli.read_frames(path)]


def _square(image: Picture) -> Picture:
    height, width = image.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    middle = Image.fromarray(image).crop((left, top, left + side, top + side))
    return np.asarray(middle.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def spread(images: Sequence[Picture], count: int = 6) -> list[Picture]:
    """Return frames at even distances."""
    return [images[number] for number in np.linspace(0, len(images) - 1, count).astype(int)]


def pick(images: Sequence[Picture]) -> list[Picture]:
    """Return two frames of a clip."""
    return [images[len(images) // 3], images[2 * len(images) // 3]]


def sheet(
    rows: Sequence[tuple[str, Sequence[Picture]]], path: Path, head: Sequence[str] = ()
) -> None:
    """Write rows of pictures with a label each."""
    image = Image.fromarray(np.concatenate([np.concatenate(list(images), 1) for _, images in rows]))
    draw = ImageDraw.Draw(image)
    labels = [((4, number * SIDE + 2), text) for number, (text, _) in enumerate(rows)]
    labels += [((number * SIDE + 4, 2), text) for number, text in enumerate(head)]
    for place, text in labels:
        draw.text(place, text, "white", stroke_width=2, stroke_fill="black", font_size=16)
    image.save(path, quality=85)


if __name__ == "__main__":
    main()
