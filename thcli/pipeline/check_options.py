"""Refusal of options that do nothing in a job, before anything is loaded.

Backends declare the options that they read (`weights.backend.Backend.reads`); here are the options
that depend on inputs, outputs and other options. docs/options.md has the tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thcli import media
from thcli.core.device import require_device
from thcli.core.errors import UsageError
from thcli.core.options import (
    PasteJobOptions,
    ProvenanceOptions,
    ReenactOptions,
    RefineJobOptions,
    RenderOptions,
    SpeakOptions,
    changed_options,
)
from thcli.engines.backends import ENGINES, animates_one_frame
from thcli.faces.tracking.select import SPEAKING
from thcli.media.provenance.marks import check_signable, load_signer
from thcli.media.writing.target import OutputTarget
from thcli.media.writing.unread import refuse_unread_output_options
from thcli.motion.file.format import SUFFIX
from thcli.pipeline.observe.inputs import require_sound
from thcli.pipeline.render.background import check_background
from thcli.refiners.backends import DETAIL_ALONE, DETAIL_FIRST, OF_MESH_FRAMES, REFINERS
from thcli.voices.backends import ENGINE, VOICES
from thcli.weights.backend import refuse_unread_options

PathLike = str | Path

OF_ENGINES = (ENGINE, "motion", "mesh", "view", "expression", "liveportrait", "real3d", "x2face")
PARTS = ("view", "expression", "motion.region", "motion.pose", "motion.expression")
OF_NETWORK_CHANGES = (
    "change.detail",
    "change.background",
    "change.parser",
    "change.temporal_smoothing",
)
WHOLE_FACE = ("speech.pose", "speech.blink", "speech.gaze", "speech.emotion")
# Options that say how a driver's motion is taken over.
OF_DRIVERS = (
    "motion.region",
    "motion.strength",
    "motion.expression",
    "motion.smooth",
    "motion.causal",
    "camera",
    "mouth",
    "faces.select",
    "read.start",
)
# Options of `speak` that motion without images does not depend on.
OF_IMAGES = (
    *OF_ENGINES,
    "framing",
    "background",
    "refine",
    "source_face",
    "source_time",
    "find",
    "read",
    "preview",
    "provenance",
    "output.resume",
    "output.codec",
    "output.crf",
    "output.preset",
    "output.share",
    "output.audio",
)


def check_run(options: Any, *targets: PathLike | None) -> None:
    """Check the device of a job and the encoding of its outputs.

    Args:
        options: of any verb or stage.
        targets: outputs with frames, the result first, as the user gave them; None for the
            default or for none.

    Raises:
        DeviceError: the device does not exist.
        UsageError: an option has no effect on an output, or its file extension is unknown.
    """
    if hasattr(options, "run"):
        require_device(options.run.device)
    provenance = getattr(options, "provenance", ProvenanceOptions())
    load_signer(provenance)
    for number, target in enumerate(targets):
        if target is not None:
            output = OutputTarget(target, options.output.overwrite)
            refuse_unread_output_options(output, options.output)
            if number == 0:  # comparisons are not signed
                check_signable(output.name, output.suffix, provenance)


def refuse(options: Any, names: tuple[str, ...], reason: str, hint: str) -> None:
    """Raise UsageError for an option that was given, of those with these dotted names.

    Args:
        options: all options of the job.
        names: of options, or of classes of options.
        reason: end of the sentence "FLAG has no effect …".
        hint: the next action.
    """
    for name, flag in changed_options(options):
        if any(name == one or name.startswith(f"{one}.") for one in names):
            raise UsageError(f"{flag} has no effect {reason}.", hint)


def check_reenact(source: PathLike, output: PathLike | None, options: ReenactOptions) -> None:
    """Refuse options without effect in `reenact` and `warp`.

    Raises:
        UsageError: it names the option and what reads it.
        DeviceError: the device does not exist.
        MediaError: the source cannot be read.
    """
    refuse_unread_options(options, [options.engine], ENGINES)
    check_run(options, output, options.compare)
    _check_source(source, options)
    _check_pose_file(options)
    if options.also and (options.driver or options.source_face == "all"):
        raise UsageError(
            "--also gives further pictures of one face, but several are animated.",
            "Leave --driver and --source-face all out.",
        )
    if options.driver and options.source_face not in ("largest", "all"):
        raise UsageError(
            f"--source-face {options.source_face} excludes --driver, which names faces itself.",
            "Leave one of the two out.",
        )
    corrections = options.liveportrait
    if options.motion.mode == "absolute":
        hint = "Use --motion relative."
        refuse(options, ("liveportrait.close_lips",), "with --motion absolute", hint)
    elif corrections.retarget_eyes or corrections.retarget_lips:
        reason = "with --retarget-eyes or --retarget-lips and --motion relative"
        refuse(options, PARTS, reason, "Nothing else moves; use --motion absolute.")


def check_without_driver(options: ReenactOptions) -> None:
    """Refuse a job without a driver that nothing moves, and options of a driver.

    Raises:
        UsageError: it names the option, or the engines that need no driver.
    """
    engines = [name for name, row in ENGINES.rows.items() if row.reads_option("view.orbit")]
    if not ENGINES.backend(options.engine).reads_option("view.orbit"):
        hint = f"Without one there are: {', '.join(engines)}."
        raise UsageError(f"The engine {options.engine} needs a driver.", hint)
    if not any(name.startswith(("view.", "expression.")) for name, _ in changed_options(options)):
        raise UsageError(
            "Nothing moves the face: there is no driver, and no slider or turn.",
            "Give a driver, or for example --expression happy, --smile 0.5, --yaw 15, --orbit 20.",
        )
    posed = options.view.pose_file is not None
    names = OF_DRIVERS if posed else (*OF_DRIVERS, "motion.mode", "motion.pose")
    refuse(options, names, "without a driver", "Give a driver, or leave it out.")


def check_video_source(options: RenderOptions, *, whole_frames: bool) -> None:
    """Refuse options without effect on a source video.

    Args:
        options: of `reenact` or `speak`.
        whole_frames: the engine renders whole frames, not crops.

    Raises:
        UsageError: it names the option.
    """
    if options.mesh.long_side:
        raise UsageError("--long-side does not apply to a source video: its size is kept.")
    if whole_frames:
        names = ("mesh.matte", "mesh.patches", "mesh.folds", "mouth", "camera", "framing")
        reason = f"on a source video with the engine {options.engine}"
        refuse(options, names, reason, "Its frames keep their own background and mouth.")


def check_speak(face: PathLike, output: PathLike | None, options: SpeakOptions) -> None:
    """Refuse options without effect in `speak`. Raises as `check_reenact`."""
    moves_only = str(output).endswith(SUFFIX)
    _check_footage(face, output, options)
    voice = VOICES.resolve(options.voice, options.run)
    refuse_unread_options(options, [voice], VOICES)
    if VOICES.backend(voice).reads_option(ENGINE):
        refuse_unread_options(options, [options.engine], ENGINES)
    else:
        readers = [name for name, row in VOICES.rows.items() if row.reads_option(ENGINE)]
        hint = f"These voices drive an engine: {', '.join(readers)}."
        refuse(options, OF_ENGINES, f"with voice {voice}, which renders the face itself", hint)
    if moves_only:
        refuse(options, OF_IMAGES, f"on {output}, which holds motion alone", "Write a video.")
    check_run(options, None if moves_only else output)
    _check_source(face, options)
    _check_pose_file(options)
    if not options.sound.level:
        refuse(options, ("sound.loudness",), "with --no-level", "Leave one of the two out.")


def is_lip_sync(face: PathLike, output: PathLike | None, options: SpeakOptions) -> bool:
    """Return True when `speak` changes the lips of all of a video instead of animating an image."""
    one_frame = options.footage.still or options.source_time is not None
    if one_frame or str(output).endswith(SUFFIX) or str(face) == "-":
        return False
    return media.probe(face, options.read).kind == "video"


def _check_footage(face: PathLike, output: PathLike | None, options: SpeakOptions) -> None:
    """Refuse what needs a video that is spoken anew, or has no effect on one."""
    if is_lip_sync(face, output, options):
        check_video_source(options, whole_frames=True)
        reason = f"on {face}, a video of which the lips alone change"
        names = ("motion.region", "motion.pose", "view", "expression", *WHOLE_FACE)
        refuse(options, names, reason, "Animate one frame of it with --still.")
        return
    placed = ("footage.loop", "footage.pad", "footage.place")
    refuse(options, placed, "without a video whose lips are spoken anew", "Give a video as FACE.")
    if options.footage.still and str(face) != "-" and media.probe(face).kind == "image":
        refuse(options, ("footage.still",), f"on {face}, which is an image", "Leave it out.")


def check_refine(output: PathLike | None, options: RefineJobOptions) -> None:
    """Refuse options without effect with any refiner in `refine`. Raises as `check_reenact`."""
    check_run(options, output)
    if options.change.background == "refine":
        refuse(options, ("change.parser",), "with --background refine", "Add --background keep.")


def check_refiner(name: str, options: RefineJobOptions) -> None:
    """Refuse options without effect with the chosen refiner. Raises as `check_reenact`.

    name: of the refiner, which auto may have chosen by the video.
    """
    refuse_unread_options(options, [name], REFINERS)
    if name in DETAIL_FIRST:
        hint = f"Those are options of a network before the detail: --engine {OF_MESH_FRAMES}."
        refuse(options, OF_NETWORK_CHANGES, f"with refiner {name}, which has none", hint)
        if not options.change.source_detail:
            message = f"--no-source-detail leaves nothing to do with refiner {name}."
            if name != DETAIL_ALONE:
                message = f"Refiner {name} corrects frames after --source-detail, not without it."
            raise UsageError(message, "Leave --no-source-detail out, or choose --engine fadm.")


def check_paste(output: PathLike | None, options: PasteJobOptions) -> None:
    """Refuse options without effect in `paste`. Raises as `check_reenact`."""
    check_run(options, output)
    if options.mask != "parse":
        refuse(options, ("parser",), f"with --mask {options.mask}", "Add --mask parse.")


def _check_source(source: PathLike, options: RenderOptions) -> None:
    """Refuse a source without pictures, options that need a video, and an unknown background."""
    check_background(options.background)
    if str(source) != "-" and media.probe(source, options.read).kind == "audio":
        raise UsageError(f"{source} is a sound: it shows no face.", "Give the face first.")
    if options.source_face == SPEAKING and str(source) != "-":
        require_sound(media.probe(source, options.read), SPEAKING)
        _check_all_of_source(options)
        if options.refine:
            raise UsageError(
                "--refine cannot find the face that speaks: its lips are no longer those of the "
                "sound.",
                "Refine the result with thcli refine --face N.",
            )
    names = [name for name, _ in changed_options(options)]
    if not {"source_time", "liveportrait.keep_eyes"} & set(names) or str(source) == "-":
        return
    if media.probe(source, options.read).kind == "image":
        needs_video = ("source_time", "liveportrait.keep_eyes")
        refuse(options, needs_video, f"on {source}, which is an image", "Leave it out.")
    elif options.source_time is not None:
        hint = "Leave --source-time out, so that all of the source is animated."
        refuse(options, ("liveportrait.keep_eyes",), "on a single frame", hint)


def _check_all_of_source(options: RenderOptions) -> None:
    """Refuse the face that speaks where one frame of the source is animated."""
    reason = None
    if options.source_time is not None:
        reason = "--source-time"
    elif isinstance(options, SpeakOptions):
        reason = "--still" if options.footage.still else None
    elif animates_one_frame(options.engine):
        reason = f"the engine {options.engine}"
    if reason is not None:
        raise UsageError(
            f"The face that speaks is found over all of a source video, and {reason} animates one "
            "frame of it.",
            "Choose the face by its number or a picture.",
        )


def _check_pose_file(options: RenderOptions) -> None:
    """Refuse a head pose where only the expression moves."""
    if options.motion.region == "expression":
        hint = "Use --region all or pose."
        refuse(options, ("view.pose_file",), "with --region expression", hint)
