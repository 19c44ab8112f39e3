"""Questions give nothing away: who reads them without the video stays near chance, type by type."""

import math
import random
from dataclasses import replace

import pytest

from llava_video.toyworld import generate_script, make_questions
from llava_video.toyworld.verify.text_only_baseline import blind_accuracy


def ask(level, seeds):
    return [q for seed in seeds for q in make_questions(generate_script(seed, level))]


@pytest.mark.parametrize(("level", "num_videos"), [("simple", 500), ("standard", 700)])
def test_reading_alone_hardly_beats_guessing(level, num_videos):
    train = ask(level, range(num_videos))
    test = ask(level, range(num_videos, num_videos * 3 // 2))
    for asked, result in blind_accuracy(train, test).items():
        luck = 3 * math.sqrt(result.chance * (1 - result.chance) / result.num_questions)
        assert result.accuracy < result.chance + 0.1 + luck, f"{asked}: {result}"


def test_the_blind_reader_finds_what_is_given_away():
    honest = [q for q in ask("simple", range(600)) if q.kind == "colour" and q.options]
    rng = random.Random(0)
    betrayed = []
    for question in honest:
        favourite = "red" if "red" in question.options and rng.random() < 0.8 else question.answer
        betrayed.append(replace(question, answer=favourite))
    half = len(honest) // 2
    (result,) = blind_accuracy(betrayed[:half], betrayed[half:]).values()
    assert result.accuracy > result.chance + 0.1
