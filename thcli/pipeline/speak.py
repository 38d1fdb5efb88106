"""`thcli speak`: a face says what is heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

import numpy as np

from thcli import __version__, media
from thcli.core.backends import backend, chosen
from thcli.core.errors import OutputError, UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import OutputOptions, ReenactOptions, RenderOptions, SpeakOptions
from thcli.core.protocols import Engine, PictureVoice, Voice
from thcli.faces.paste import paste
from thcli.motion.file import SUFFIX, MotionFile, MotionWriter
from thcli.pipeline.draw import Actor, Shot, draw
from thcli.pipeline.footage import Play
from thcli.pipeline.framing import cut_source, framed, shown
from thcli.pipeline.hearing import Heard, hear
from thcli.pipeline.naming import PICTURES, fingerprint, output_path
from thcli.pipeline.portrait import Finders, Portrait, portrait
from thcli.pipeline.reenact import animate
from thcli.pipeline.rendering import Finish
from thcli.pipeline.report import Job, Report, Tally
from thcli.pipeline.sidefile import SideFile

DEFAULTS = SpeakOptions()
PUPPET = "mesh"  # whose pictures drive an engine that does not read the voice's motion


def speak(
    face: str | Path,
    audio: str | Path,
    output: str | Path | None = None,
    options: SpeakOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Makes the face say what is heard, from the sound's beginning to its end, with the sound as the video's own.

    face: a picture, or a video (one frame of it).  audio: any file with sound, or '-' for standard input.  output: a file, folder or
    '-' (see `media.write`), a *.motion.safetensors for the motion alone; None: beside the sound.
    Raises MediaError, NoFaceError, WeightsError, OutputError, UsageError.
    """
    with Job("speak", on) as job:
        heard = hear(job.enter(media.local(audio)), options, job)
        target = output_path(output, f"{Path(face).stem}_{Path(audio).stem}", audio, heard.info, "speak")
        name = chosen("voice", options.voice, options.run)
        voice: Voice | PictureVoice = backend("voice", name).load(options.run)
        if str(target).endswith(SUFFIX):
            return _motion_alone(voice, name, heard, Path(target), options, job)
        finish = Finish.load(options, Finders.load(options.find.choosing(), options.run))
        who = portrait(face, options, finish.finders, job)
        if isinstance(voice, PictureVoice):
            who, play = in_pictures(voice, who, heard, options, job)
        else:
            engine: Engine = backend("engine", options.engine).load(options.run, options)
            if engine.motion_kind != voice.motion_kind:
                return _by_puppet(voice, name, engine, who, heard, target, options, finish, job)
            engine, who = framed(engine, who, options)
            play = in_motion(voice, engine, who, heard, options, job)
        writer = media.write(
            target, who.size, replace(heard.info, colour=PICTURES), replace(options.output, fps=None), time_base=heard.time_base,
            rate=heard.rate, drive=heard.info, source=who.info, span=heard.span, frames=len(heard.pts),
            provenance=finish.provenance("speak", name), fingerprint=fingerprint((face, heard.info.path), options), on=on,
        )  # fmt: skip
        with writer as out:
            tally = finish.render(play, len(heard.pts), out, who, who.size, job)
        by = name if isinstance(voice, PictureVoice) else options.engine
        details = {"voice": name, **finish.details}
        return job.report(target, tally, faces=len(who.faces), engine=by, details=details)


def in_motion(voice: Voice, engine: Engine, who: Portrait, heard: Heard, options: SpeakOptions, job: Job) -> Play:
    """The sound becomes motion, on disk; the motion moves the source's faces."""
    path = job.room() / f"speech{SUFFIX}"
    _write_motion(voice, heard, path, options, job)
    said = MotionFile(path)
    actors = [Actor.cast(engine, who.picture, face, said, options.motion) for face in who.faces]
    return lambda start: draw(engine, actors, who.picture, None, start, options.run, job.clock)


def in_pictures(
    voice: PictureVoice, who: Portrait, heard: Heard, options: SpeakOptions, job: Job
) -> tuple[Portrait, Play]:
    """The voice's own pictures of the first face, put back into the portrait; with --framing crop as they are."""
    where, own, face = cut_source(voice, who.picture, who.faces[0])
    whole, soft = options.framing == "full", shown(voice)

    def play(start: int) -> Iterator[Shot]:
        drawn = voice.pictures(own, heard.recording, heard.pts, heard.time_base, options.speech)
        made = job.clock.over("render", drawn)
        for pts, picture in islice(zip(heard.pts, made, strict=True), start, None):
            if whole:
                picture = np.asarray(paste(who.picture, picture, where, soft), np.uint8)
            yield Shot(picture, int(pts), heard.time_base, 1, seen=True, made=True, driving=None)

    return (who if whole else replace(who, picture=own, faces=(face,))), play


def speak_each(
    face: str | Path,
    sounds: Sequence[str | Path],
    folder: str | Path | None = None,
    options: SpeakOptions = DEFAULTS,
    on: Listener = silent,
) -> list[Report]:
    """One video for each sound, beside it or in a folder that is there. Raises as `speak` does; what was finished before stays."""
    if folder is not None and not Path(folder).is_dir():
        raise OutputError(f"{folder} is not a folder that exists, and several sounds make several videos.", f"Make it with 'mkdir -p {folder}'.")  # fmt: skip
    names = [None if folder is None else Path(folder) / f"{Path(face).stem}_{Path(sound).stem}.mp4" for sound in sounds]
    return [speak(face, sound, name, options, on) for sound, name in zip(sounds, names, strict=True)]


def _write_motion(voice: Voice, heard: Heard, path: Path, options: SpeakOptions, job: Job) -> None:
    words = {"source": heard.info.path.name, "made_by": f"thcli {__version__}"}
    with MotionWriter(path, words) as writer, job.stage("speech", len(heard.pts)) as step:
        windows = voice.speak(heard.recording, heard.pts, heard.time_base, options.speech)
        for motion in job.clock.over("speech", windows):
            writer.append(motion)
            for _ in range(len(motion)):
                step()


def _motion_alone(
    voice: Voice | PictureVoice, name: str, heard: Heard, target: Path, options: SpeakOptions, job: Job
) -> Report:
    if isinstance(voice, PictureVoice):
        raise UsageError(f"The voice {name} makes pictures, not motion.", "Give the output the name of a video.")
    with SideFile(target, options.output.overwrite) as place:
        _write_motion(voice, heard, place.partial, options, job)
    tally = Tally()
    for pts in heard.pts:
        tally.add(int(pts), 1, heard.time_base)
    return job.report(target, tally, details={"voice": name})


def _by_puppet(
    voice: Voice, name: str, engine: Engine, who: Portrait, heard: Heard, target: str | Path, options: SpeakOptions,
    finish: Finish, job: Job,
) -> Report:  # fmt: skip
    """Engines that read another motion watch the mesh engine's picture of the same face: it says the words, they follow."""
    plain = replace(options, engine=PUPPET, background="keep", framing="full", refine=None)
    mesh: Engine = backend("engine", PUPPET).load(options.run, plain)
    if mesh.motion_kind != voice.motion_kind:
        raise UsageError(f"No engine can be moved by the voice {name}.", f"Keep its motion: -o NAME{SUFFIX}; or take --voice auto.")  # fmt: skip
    puppet = job.room() / "puppet.mkv"
    drawn, doll = framed(mesh, who, plain)
    lossless = OutputOptions(codec="ffv1")
    writer = media.write(
        puppet, doll.size, replace(heard.info, colour=PICTURES), lossless, time_base=heard.time_base, rate=heard.rate,
        drive=heard.info, span=heard.span, frames=len(heard.pts),
    )  # fmt: skip
    with writer as out:
        play = in_motion(voice, drawn, doll, heard, plain, job)
        Finish(plain, finish.finders, None).render(play, len(heard.pts), out, doll, doll.size, job)
    shared = {item.name: getattr(options, item.name) for item in fields(RenderOptions)}
    driven = ReenactOptions(**{**shared, "output": replace(options.output, fps=None)}, faces=options.find.choosing())
    report = animate(engine, who, media.probe(puppet), target, driven, finish, job)
    return replace(report, details={"voice": name, "by": PUPPET, **finish.details})
