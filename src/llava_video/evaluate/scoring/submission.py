"""EgoSchema's submission: the answers to all of its questions, in the two forms that are taken."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from llava_video.errors import InputError
from llava_video.evaluate.annotations.rows import read_json
from llava_video.evaluate.scoring.outcomes import Outcome
from llava_video.evaluate.tasks.egoschema import NUM_QUESTIONS
from llava_video.records.files import write_whole
from llava_video.records.json_lines import dump_json
from llava_video.records.options import LETTERS

SERVER_FILE, KAGGLE_FILE = "submission.json", "submission.csv"
IDS_FILE = "uid_to_ego4d.json"
"""Of egoschema/EgoSchema: names all ids, so that those that are missing can be named."""
_NUM_NAMED = 5


def known_ids(annotations: Path) -> Collection[str]:
    """All ids of the full set, if the file that lists them lies beside the annotations."""
    path = (annotations if annotations.is_dir() else annotations.parent) / IDS_FILE
    return dict(read_json(path)) if path.is_file() else ()


def write_submission(
    folder: Path,
    outcomes: Sequence[Outcome],
    ids: Collection[str] = (),
    num_questions: int = NUM_QUESTIONS,
) -> int:
    """Write ``{id: 0 to 4}`` for the validation server, and ``q_uid,answer`` for Kaggle.

    Args:
        folder: where to.
        outcomes: of all questions.
        ids: of the full set, where they are known.
        num_questions: how many these are.

    Returns:
        How many answers choose no option; they are submitted as the first one, 0.

    Raises:
        InputError: questions are missing or failed; nothing is written then.
    """
    failed = [outcome.id for outcome in outcomes if outcome.failure]
    answered = {o.id: LETTERS.index(o.said or "A") for o in outcomes if not o.failure}
    missing = sorted((set(ids) - set(answered)) | set(failed))
    num_missing = max(num_questions - len(answered), len(missing))
    if num_missing:
        named = ", ".join(missing[:_NUM_NAMED]) or f"{IDS_FILE} beside the annotations names them"
        more = f" and {num_missing - _NUM_NAMED} more" if len(missing) > _NUM_NAMED else ""
        raise InputError(
            f"{folder}: no submission, as {num_missing} of {num_questions} questions have no "
            f"answer: {named}{more}; complete the annotations and videos and run again"
        )
    write_whole(folder / SERVER_FILE, dump_json(answered, indent=4) + "\n")
    lines = [f"{name},{number}" for name, number in answered.items()]
    write_whole(folder / KAGGLE_FILE, "\n".join(["q_uid,answer", *lines]) + "\n")
    return sum(outcome.said is None for outcome in outcomes)
