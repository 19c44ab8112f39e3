"""WUPS and WordNet's files: a small dictionary in their format, and values computed by hand."""

import json
from pathlib import Path

import pytest

from llava_video.errors import InputError
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.run import Settings, evaluate
from llava_video.evaluate.scoring.verdicts import judge_similar_words
from llava_video.evaluate.scoring.wordnet import WordNet
from llava_video.evaluate.scoring.wups import content_words, wups
from llava_video.toyworld import generate_script
from llava_video.toyworld.dataset import write_video
from tests.evaluate.runs import scripted

# Word: what is above it, and how often it was tagged.
NOUNS = {
    "entity": ("", 1), "animal": ("entity", 3), "dog": ("animal", 9), "cat": ("animal", 8),
    "puppy": ("dog", 2), "stone": ("entity", 4), "jump": ("entity", 1),
}  # fmt: skip
VERBS = {"move": ("", 9), "jump": ("move", 7), "run": ("move", 8)}


def _write_part(folder: Path, name: str, words: dict[str, tuple[str, int]]) -> None:
    letter = name[0]
    offsets: dict[str, int] = {}
    data = "  1 the licence\n"
    for word, (above, _) in words.items():
        offsets[word] = len(data)
        pointers = f"001 @ {offsets[above]:08d} {letter} 0000" if above else "000"
        data += f"{len(data):08d} 03 {letter} 01 {word} 0 {pointers} | what it is\n"
    (folder / f"data.{name}").write_text(data)
    lines = [f"{word} {letter} 1 1 @ 1 1 {offset:08d}" for word, offset in offsets.items()]
    (folder / f"index.{name}").write_text("  1 the licence\n" + "".join(f"{x}  \n" for x in lines))
    (folder / f"{name}.exc").write_text("ran run\n" if name == "verb" else "")


@pytest.fixture(scope="session")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> WordNet:
    folder = tmp_path_factory.mktemp("wordnet")
    for name, words in (("noun", NOUNS), ("verb", VERBS), ("adj", {}), ("adv", {})):
        _write_part(folder, name, words)
    counts = [(f"{w}%1:03:00::", n) for w, (_, n) in NOUNS.items()]
    counts += [(f"{w}%2:30:00::", n) for w, (_, n) in VERBS.items()]
    (folder / "cntlist.rev").write_text("".join(f"{key} 1 {n}\n" for key, n in counts))
    return WordNet(folder)


@pytest.mark.parametrize(
    ("first", "second", "similarity"),
    [
        ("dog", "dog", 1.0),
        ("unknown", "unknown", 1.0),
        ("dog", "unknown", 0.0),
        ("dog", "cat", 2 * 2 / (2 * 2 + 1 + 1)),  # animal is the second below the root
        ("puppy", "cat", 2 * 2 / (2 * 2 + 2 + 1)),
        ("puppy", "dog", 2 * 3 / (2 * 3 + 1)),
        ("dog", "stone", 2 * 1 / (2 * 1 + 2 + 1)),
        # The root that is put above verbs counts as deep as move, and is taken first.
        ("run", "move", 2 * 1 / (2 * 1 + 2 + 1)),
        # The first sense of jump is the noun, which is two below the common root.
        ("run", "jump", 2 * 1 / (2 * 1 + 2 + 2)),
        ("dogs", "cats", 2 * 2 / (2 * 2 + 1 + 1)),
    ],
)
def test_similarity(wordnet: WordNet, first: str, second: str, similarity: float) -> None:
    assert wordnet.similarity(first, second) == pytest.approx(similarity)


def test_words_are_reduced_to_the_lemma_that_is_most_frequent(wordnet: WordNet) -> None:
    assert content_words("The dogs RAN, and a puppy is jumping", wordnet) == (
        "dog", "run", "puppy", "jump",
    )  # fmt: skip
    assert wordnet.lemma("xylophones") == "xylophones"


def test_the_product_of_the_best_of_each_word_in_the_worse_direction(wordnet: WordNet) -> None:
    dog_cat = wordnet.similarity("dog", "cat")
    assert wups(("dog", "run"), ("cat", "run"), wordnet) == pytest.approx(dog_cat)
    assert wups(("dog",), ("cat", "run"), wordnet) == pytest.approx(
        dog_cat * wordnet.similarity("run", "dog")
    )
    assert wups(("dog",), ("cat",), wordnet, 0.9) == pytest.approx(0.1 * dog_cat)
    assert wups(("dog",), ("dog",), wordnet, 0.9) == 1.0
    assert wups((), ("dog",), wordnet) == 0.0
    assert wups(("unknown", "dog"), ("dog",), wordnet) == 1.0, "words like nothing are passed over"


def test_the_best_reference_answer_counts_and_numbers_must_be_equal(wordnet: WordNet) -> None:
    question = Question("1", "v", "what?", answer="a stone", also=("the cats",), type="CW")
    found = judge_similar_words("dogs", question, wordnet)
    assert found.value == pytest.approx(wordnet.similarity("dog", "cat"))
    assert found.others["WUPS at 0.9"] == pytest.approx(found.value / 10)
    assert found.said == "dog"
    counted = Question("1", "v", "how many?", answer="two", type="DC")
    assert judge_similar_words("Two.", counted, wordnet).value == 1.0
    assert judge_similar_words("three", counted, wordnet).value == 0.0


def test_a_folder_without_the_files_says_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"install Debian's wordnet-base, or unpack WordNet 3\.0"):
        WordNet(tmp_path)


def test_a_run_with_wups(tmp_path: Path, wordnet: WordNet) -> None:
    for number in range(6):
        write_video(generate_script(number, seconds=5), tmp_path / f"{number}.mp4", (64, 64), 2)
    rows = [
        {"video": str(n), "qid": "0", "type": "CW", "question": "what", "answer": "a cat"}
        for n in range(6)
    ]
    path = tmp_path / "test.json"
    path.write_text(json.dumps(rows))
    model, script = scripted(lambda prompt: "The dogs.")
    with pytest.raises(InputError, match="no WordNet in"):
        settings = Settings(wordnet=str(tmp_path))
        evaluate(["nextqa-oe"], tmp_path / "out", settings, annotations=path, model=model)
    assert script.asked == []
    settings = Settings(wordnet=str(wordnet.folder))
    results = evaluate(["nextqa-oe"], tmp_path / "out", settings, annotations=path, model=model)
    similarity = wordnet.similarity("dog", "cat")
    assert results["nextqa-oe"]["headline"] == pytest.approx(similarity)
    strict = results["nextqa-oe"]["scores"]["others"]["WUPS at 0.9"]
    assert strict["mean"] == pytest.approx(similarity / 10)
