"""`thcli receive`: a picture and a stream of `transmit` to a video (docs/conferencing.md)."""

from __future__ import annotations

from pathlib import Path

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import ReceiveOptions, RenderOptions
from thcli.core.protocols import Engine
from thcli.core.types import Face, Image
from thcli.engines.backends import ENGINES
from thcli.faces.compositing.pixel_device import pixel_ops
from thcli.motion.codec.format import StreamError, StreamHeader, Tag
from thcli.motion.codec.frames import FrameDecoder
from thcli.pipeline.check_options import check_run
from thcli.pipeline.conference.incoming import IncomingStream
from thcli.pipeline.conference.live_rendering import LiveRenderer, load_engine
from thcli.pipeline.conference.pictures import PictureReader
from thcli.pipeline.dry_run import rehearse_receive
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import output_path
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.sources.source_image import read_source_image

DEFAULTS = ReceiveOptions()


def receive(
    source: str | Path | None,
    stream: str | Path,
    output: str | Path | None = None,
    options: ReceiveOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Animate a picture with a stream of `transmit`.

    Each frame of the sender gives one frame with its time stamp, rendered before the next packet
    is read. Standard input is read to its end first when its sound is kept.

    Args:
        source: image of a face; None for the pictures in the stream.
        stream: file, or '-' for standard input.
        output: video, folder/ or '-'; None for NAME.mp4 beside the stream.
        options: see `ReceiveOptions`.
        on: listener for progress and warnings.

    Raises:
        MediaError: the stream cannot be read, is damaged, has another version or no frame.
        NoFaceError: the picture shows no face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: there is no picture, or the engine cannot render the motion.
    """
    check_run(options, output)
    if options.dry_run:
        return rehearse_receive(receive, (source, stream), output, options, on)
    inputs = [stream, *([] if source is None else [source])]
    with Job("receive", on, options, inputs) as job:
        with_sound = options.output.audio == "drive"
        incoming = IncomingStream.open(stream, job, with_sound=with_sound)
        header = incoming.header
        if source is None:
            incoming.require_pictures()
        engine = _load_engine(options, header)
        finder = FaceFinder.load(options.find.choosing(), options.run, options.read)
        reader = PictureReader(finder, job.temp_dir(), options.read.whole)
        like = incoming.video_info(Path(stream))
        target = output_path(output, Path(stream).stem, stream, like, "receive")
        packets = incoming.packets()
        if source is not None:
            image, face = _given_picture(source, options, finder, job)
        else:
            with incoming.named():
                image, face = _sent_picture(next(packets, None), reader, header)
        renderer = LiveRenderer(engine, image, face, pixel_ops(options.run.device))
        plan = media.WritePlan(
            time_base=header.time_base,
            rate=header.rate or None,
            drive=incoming.sound,
            provenance=job.provenance(options.engine),
        )
        size = (image.shape[1], image.shape[0])
        writer = media.write(target, size, like, options.output, plan, on=on)
        decoder, counter = FrameDecoder(header), FrameCounter()
        with writer as out, job.stage("receive", None) as step:
            for packet in packets:
                if packet[0] == Tag.PICTURE and source is None:
                    with incoming.named():
                        image, face = _sent_picture(packet, reader, header)
                    renderer.show(image, face)
                if packet[0] != Tag.MOTION:
                    continue
                with incoming.named():
                    frame = decoder.decode(packet[1])
                with job.clock("render", frames=1):
                    rendered = renderer.render(frame)
                pts = int(frame.motion.pts[0])
                out.write(rendered, pts, frame.duration)
                counter.add(pts, frame.duration, header.time_base)
                step()
            incoming.check_end(counter.frames, job)
        details = {"complete": incoming.complete}
        return job.report(target, counter, faces=1, engine=options.engine, details=details)


def _load_engine(options: ReceiveOptions, header: StreamHeader) -> Engine:
    """Load the engine for the stream's kind of motion.

    Raises UsageError when it reads another kind.
    """
    name = header.kind if options.engine == "auto" else options.engine
    ENGINES.backend(name)
    if not name.startswith(header.kind):
        raise UsageError(
            f"The engine {name} cannot render motion of kind {header.kind}.",
            f"Use --engine {header.kind}.",
        )
    return load_engine(name, options.run)


def _given_picture(
    source: str | Path, options: ReceiveOptions, finder: FaceFinder, job: Job
) -> tuple[Image, Face | None]:
    read = RenderOptions(source_face=options.source_face, read=options.read, run=options.run)
    found = read_source_image(source, read, finder, job)
    return found.image, found.faces[0]


def _sent_picture(
    packet: tuple[Tag, bytes] | None, reader: PictureReader, header: StreamHeader
) -> tuple[Image, Face | None]:
    """Return a picture of the stream and its face.

    Raises:
        StreamError: the packet holds none, or one of another size than the frames.
    """
    if packet is None or packet[0] != Tag.PICTURE:
        raise StreamError("its first packet is no picture")
    if packet[1][:4] != b"RIFF" or packet[1][8:12] != b"WEBP":
        raise StreamError("it has a picture that is no WebP file")
    image, face = reader.read(packet[1])
    if (image.shape[1], image.shape[0]) != header.size:
        raise StreamError("it has a picture of another size than its frames")
    return image, face
