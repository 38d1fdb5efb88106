"""The page of a study: one folder that works from a disk or any web server, without a network."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from thcli.core.json_text import to_json
from thcli.evaluate.study.plan import StudyPlan
from thcli.media.atomic_file import replace_atomically
from thcli.media.writing.target import OutputTarget

PLACE = "/*QUESTIONS*/null"


def write_study(plan: StudyPlan, folder: Path, most: int) -> Path:
    """Write the page with its clips, and beside it FOLDER.key.json, which undoes the blind names.

    Args:
        plan: of the study.
        folder: to make; it may exist empty.
        most: questions for one person, drawn at random; 0 for all.

    Returns:
        The path of the key.

    Raises:
        OutputError: folder or key exists, or cannot be written.
    """
    target = OutputTarget(f"{folder}/", False)
    target.check(0)
    key = folder.with_name(f"{folder.name}.key.json")
    names = {clip.code: f"{clip.code}{clip.path.suffix.lower()}" for clip in plan.clips}
    content = {
        "questions": [asdict(question) for question in plan.questions],
        "files": names,
        "most": most,
    }
    template = files("thcli.evaluate.study").joinpath("page.html").read_text("utf-8")
    with replace_atomically(key, overwrite=False) as partial:
        partial.write_text(to_json(plan.key()), "utf-8")
        target.guard()
        try:
            target.partial.mkdir()
            for clip in plan.clips:
                shutil.copyfile(clip.path, target.partial / names[clip.code])
            text = to_json(content).replace("</", "<\\/")
            page = template.replace(PLACE, text)
            (target.partial / "index.html").write_text(page, "utf-8")
            target.commit()
        finally:
            target.abort()
    return key
