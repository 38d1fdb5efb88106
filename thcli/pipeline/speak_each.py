"""`thcli speak` with several recordings: one video for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from thcli.core.errors import OutputError, ThcliError, UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import SpeakOptions
from thcli.pipeline.job.job import ItemResult
from thcli.pipeline.speak import DEFAULTS, speak


def speak_each(
    face: str | Path,
    sounds: Sequence[str | Path],
    folder: str | Path | None = None,
    options: SpeakOptions = DEFAULTS,
    on: Listener = silent,
) -> list[ItemResult]:
    """Write one video per recording. One that fails does not stop the others.

    Recordings that differ in their ending or folder alone get videos of different names.

    Args:
        face: image or video, see `speak`.
        sounds: recordings.
        folder: existing folder of the videos; None: beside each recording.
        options: see `SpeakOptions`.
        on: listener for progress and warnings.

    Returns:
        One result per recording, in order.

    Raises:
        OutputError: `folder` is not a folder.
        UsageError: a recording is given twice.
    """
    if folder is not None and not Path(folder).is_dir():
        raise OutputError(
            f"{folder} is not an existing folder, and several recordings make several videos.",
            "Give a folder that exists, such as -o videos/ after 'mkdir -p videos'.",
        )
    results = []
    for sound, output in zip(sounds, _output_names(face, sounds, folder), strict=True):
        try:
            report = speak(face, sound, output, options, on)
            results.append(ItemResult(str(sound), report))
        except ThcliError as error:
            results.append(ItemResult(str(sound), error=error))
    return results


def _output_names(
    face: str | Path, sounds: Sequence[str | Path], folder: str | Path | None
) -> list[Path | None]:
    """Return the output of each recording, None for the default name beside it."""
    files = [Path(sound).resolve() for sound in sounds]
    for file, sound in zip(files, sounds, strict=True):
        if files.count(file) > 1:
            raise UsageError(f"{sound} is given twice.", "Give each recording once.")
    paths = [Path(sound) for sound in sounds]
    folders = [path.parent if folder is None else Path(folder) for path in paths]
    stems = [f"{Path(face).stem}_{path.stem}" for path in paths]
    plain = [str(place / stem).casefold() for place, stem in zip(folders, stems, strict=True)]
    taken: set[str] = set()
    outputs: list[Path | None] = []
    for place, path, stem, name in zip(folders, paths, stems, plain, strict=True):
        if plain.count(name) == 1:
            outputs.append(None if folder is None else place / f"{stem}.mp4")
            continue
        named = f"{stem}_{path.suffix.lstrip('.')}" if path.suffix else stem
        number, unique = 1, named
        while str(place / unique).casefold() in taken | set(plain):
            number += 1
            unique = f"{named}_{number}"
        taken.add(str(place / unique).casefold())
        outputs.append(place / f"{unique}.mp4")
    return outputs
