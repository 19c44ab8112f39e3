"""The sixteen question types of LLaVA-Video-178K, in the paper's order (appendix, Table 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QuestionType:
    """One question type.

    Attributes:
        slug: name in files, records and recipes.
        title: name printed in the paper.
        paper_percent: share of this type in LLaVA-Video-178K, in percent.
    """

    slug: str
    title: str
    paper_percent: float


QUESTION_TYPES = (
    QuestionType("temporal", "Temporal", 7.2),
    QuestionType("spatial", "Spatial", 7.2),
    QuestionType("causal", "Causal", 7.2),
    QuestionType("description_scene", "Description-Scene", 7.2),
    QuestionType("description_human", "Description-Human", 6.7),
    QuestionType("description_object", "Description-Object", 7.0),
    QuestionType("count", "Count", 7.1),
    QuestionType("binary", "Binary", 7.2),
    QuestionType("fine_grained_action", "Fine Grained Action Understanding", 6.5),
    QuestionType("plot", "Plot Understanding", 7.1),
    QuestionType(
        "non_existent_actions", "Non-Existent Actions with Existent Scene Depictions", 6.6
    ),
    QuestionType("time_order", "Time Order Understanding", 6.9),
    QuestionType("object_direction", "Object Direction", 3.8),
    QuestionType("camera_direction", "Camera Direction", 4.1),
    QuestionType("speed", "Speed", 3.6),
    QuestionType("attribute_change", "Attribute Change", 4.5),
)
SLUGS = tuple(question_type.slug for question_type in QUESTION_TYPES)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


# The paper itself uses several names for some types (its Figure 3 says "Object Existence").
_ALIASES = {
    **{_letters(t.title): t.slug for t in QUESTION_TYPES},
    **{_letters(t.slug): t.slug for t in QUESTION_TYPES},
    "plot": "plot",
    "finegrainedactions": "fine_grained_action",
    "finegrainedactionunderstanding": "fine_grained_action",
    "nonexistentaction": "non_existent_actions",
    "objectexistence": "non_existent_actions",
    "timeorder": "time_order",
}


def find_type(name: str) -> str | None:
    """Slug of the type that a model's wording names, or None."""
    return _ALIASES.get(_letters(name))
