"""Toyworld: small videos whose whole truth is known, to train, annotate and evaluate on.

A script says who does what, from when to when, and why. Everything else follows from it::

    from llava_video.toyworld import generate_script, make_questions, render

    script = generate_script(seed=7, level="simple")   # deterministic
    print(script)                                      # readable; parse_script reads it back
    frames = render(script, num_frames=16, size=64)    # Frames: pictures and their times, no codec
    for question in make_questions(script, seed=0):    # with true answers
        if question.options:
            print(question.prompt_multiple_choice(), "->", question.answer_letter)
        else:
            print(question.prompt_open_ended(), "->", question.answer)

`render` draws the frames that uniform sampling would take from the video of the script, at any
size. `describe` says in words what happens between two moments, `describe_levels` on the paper's
three levels. `VOCABULARY` lists every word and mark of all these texts; `WORD_PATTERN` finds them.

The rooms, in the order of the data::

    generate/   a seed becomes a `Script`; levels "simple", "standard", "crowded" and "long"
    script      the script language
    stage       a script performed: where everything is at any moment, as arrays
    draw/       the stage as pictures
    story       what happens in a script, as descriptions and questions see it
    captions/   the script as descriptions
    questions/  the script as questions of all types of the paper's Table 1
    verify/     the other route to the truth: events detected on the stage, not read; a checker
                that answers questions (observer, solver) and reads descriptions by them; and a
                baseline that reads text only, to show that questions give nothing away
    entry       one entrance to all levels
    dataset     videos, scripts and LLaVA JSON files on disk

Here every actor is a coloured shape or a person, every picture is drawn, and every word comes from
a short list: a model that learns this world knows this world only.
"""

from llava_video.toyworld.captions.captions import Description, describe, describe_levels
from llava_video.toyworld.draw.render import render, render_at, times_of
from llava_video.toyworld.entry import LEVELS, generate_script, make_questions
from llava_video.toyworld.questions.question import Question
from llava_video.toyworld.script import (
    Actor,
    Event,
    Script,
    format_script,
    parse_script,
    script_path_of,
)
from llava_video.toyworld.words import (
    COLOURS,
    DIRECTIONS,
    QUESTION_TYPES,
    SHAPES,
    VOCABULARY,
    WORD_PATTERN,
)

__all__ = [
    "COLOURS",
    "DIRECTIONS",
    "LEVELS",
    "QUESTION_TYPES",
    "SHAPES",
    "VOCABULARY",
    "WORD_PATTERN",
    "Actor",
    "Description",
    "Event",
    "Question",
    "Script",
    "describe",
    "describe_levels",
    "format_script",
    "generate_script",
    "make_questions",
    "parse_script",
    "render",
    "render_at",
    "script_path_of",
    "times_of",
]
