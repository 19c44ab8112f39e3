"""The page in a real browser: a video, questions, and everything that is shown of the answers."""

import threading
from pathlib import Path

import numpy as np
import pytest

from llava_video.chat.subtitles import describe_subtitles, read_subtitles
from llava_video.representation import VideoRepresentation, make_layout
from tests.serve.page.talking import THREE_SHAPES, Talking
from tests.serve.page.told import Told, frames_of, text_of
from tests.serve.server import FOUR_SHAPES, Served

SUBTITLES = """1
00:00:00,500 --> 00:00:02,000
<i>Here</i> it begins,
in two lines.

2
00:00:05,000 --> 00:00:06,500
And <b>here</b> it ends & stays.
"""


def label_of_first(page: Talking) -> str:
    """What the first frame on the tape is called."""
    return page.one("#tape .frame").get_attribute("aria-label")


def test_it_says_at_once_what_tiny_cannot_do(page: Talking) -> None:
    assert "about real videos its answers mean nothing" in page.text("#notice")


def test_a_question_is_answered_as_the_api_answers_it(page: Talking, site: Served) -> None:
    question = "Which shape moves up?"
    page.take()
    page.until(lambda: page.one("#player").get_property("videoWidth") > 0)
    said = page.ask(question)
    sent = {"type": "video_url", "video_url": {"url": THREE_SHAPES.name}}
    assert said == site.ask(sent, question).choices[0].message.content
    assert page.text("#live") == f"Answer: {said}"


def test_the_tape_shows_the_layout_at_token_widths_and_seeks(page: Talking, told: Told) -> None:
    page.take()
    layout = make_layout(told.representation, told.representation.max_frames)
    buttons = page.all("#tape .frame")
    assert ["slow" in one.get_attribute("class") for one in buttons] == [
        block.slow for block in layout.blocks()
    ]
    widths = np.array([one.size["width"] for one in buttons], dtype=float)
    tokens = np.array([block.num_tokens for block in layout.blocks()], dtype=float)
    np.testing.assert_allclose(widths / widths.sum(), tokens / tokens.sum(), atol=2e-3)
    assert len(page.all("#tape .frame img[src^='data:image/jpeg']")) == len(buttons)
    page.ask("What moves?")
    buttons[7].click()
    page.until(lambda: abs(page.seconds() - frames_of(told)[7]) < 0.01)
    page.until(lambda: buttons[7].get_attribute("aria-current") == "true")


def test_an_answer_streams_and_can_be_stopped(page: Talking, told: Told) -> None:
    page.take()
    told.shut()
    page.begin("Say: one two three")
    page.until(lambda: page.text(".turn .text") == "one two three")
    assert page.is_shown("#stop")
    assert not page.is_shown("#ask")
    page.one("#stop").click()
    page.until(lambda: page.text(".turn .text") == "one two three stopped here")
    told.open()
    assert page.ask("Say: go on") == "go on"
    assert [message["content"] for message in told.asked[-1] if message["role"] == "assistant"] == [
        [{"type": "text", "text": "one two three"}]
    ]


def test_times_within_the_video_are_links_that_seek(page: Talking) -> None:
    page.take()
    said = "At 0:02 and 00:03.5, after 4.5 s or 5 seconds; not at 9:59, 1.2.3 or 12:345."
    assert page.ask(f"Say: {said}") == said
    links = page.all(".turn .time")
    assert [link.text for link in links] == ["0:02", "00:03.5", "4.5 s", "5 seconds"]
    for link, seconds in zip(links, (2, 3.5, 4.5, 5), strict=True):
        link.click()
        page.until(lambda seconds=seconds: abs(page.seconds() - seconds) < 0.01)


def test_text_of_models_and_users_stays_text(page: Talking) -> None:
    page.take()
    said = "<img src=x onerror=alert(1)><b>0:01</b> <|im_end|> <image>"
    assert page.ask(f"Say: {said}") == said
    assert page.text(".turn .question") == f"Say: {said}"
    assert page.all(".turn img") == page.all(".turn b") == []


def test_the_second_question_reads_and_encodes_nothing(page: Talking) -> None:
    page.take(FOUR_SHAPES)
    page.ask("How many shapes are there?")
    page.ask("What leaves the picture?")
    assert "0 frames decoded, 0 encoded" in page.facts()
    assert "first word after" in page.facts()


def test_a_part_is_chosen_with_the_handles(page: Talking, told: Told) -> None:
    page.take()
    page.one("#part-start").click()
    page.press(*["\ue014"] * 20)  # right
    page.one("#part-end").send_keys(*["\ue012"] * 17)  # left
    page.until(lambda: "Only 0:02 to 0:05" in page.text("#part-text"))
    page.until(lambda: label_of_first(page).startswith("Frame 1 at 0:02"))
    page.ask("What moves?")
    times = frames_of(told)
    assert min(times) >= 2
    assert max(times) < 5
    page.one("#whole").click()
    page.until(lambda: "The whole video" in page.text("#part-text"))
    page.ask("What moves?")
    assert min(frames_of(told)) == 0


def test_the_budget_is_shown_before_it_is_spent(page: Talking, told: Told) -> None:
    page.take()
    own = make_layout(told.representation, 12)
    assert page.text("#tokens-text") == f"{own.num_tokens} tokens"
    assert page.text("#context-text") == "of the 2,048 tokens that fit"
    page.one("#settings summary").click()
    slider = page.one("#most-tokens")
    slider.send_keys(*["\ue012"] * 20)
    page.until(lambda: page.text("#tokens-text") != f"{own.num_tokens} tokens")
    page.until(lambda: page.one("#budget").get_attribute("aria-busy") == "false")
    limit = int(page.text("#most-tokens-text").removeprefix("at most "))
    shown = int(page.text("#tokens-text").removesuffix(" tokens"))
    assert shown <= limit < own.num_tokens
    page.ask("What moves?")
    asked = told.options[-1].representation
    assert asked == told.fit_video_tokens(limit)
    assert shown == make_layout(asked, asked.max_frames).num_tokens


def test_tokens_that_a_selection_leaves_out_are_said(page: Talking) -> None:
    page.take()
    page.script(
        "const s = document.getElementById('representation'); s.value = 'evs=0.5';"
        "s.dispatchEvent(new Event('change'));"
    )
    page.until(lambda: page.text("#kept-text") == "48 of 96 are kept")
    assert page.text("#tokens-text") == "48 tokens"
    page.ask("What moves?")
    page.button("Which frames mattered?").click()
    page.until(lambda: page.all("#tape .heat"))


def test_a_representation_that_cannot_be_is_said_and_the_last_one_stays(page: Talking) -> None:
    page.take()
    page.one("#settings summary").click()
    page.script(
        "const s = document.getElementById('representation'); s.value = 'other';"
        "s.dispatchEvent(new Event('change'));"
    )
    page.one("#other-representation").send_keys("12,63,3,2\n")
    page.until(lambda: "is not the square" in page.text("#budget-error"))
    assert page.text("#tokens-text") == "96 tokens"
    page.refused(400)


def test_two_representations_answer_side_by_side(page: Talking, told: Told) -> None:
    page.take()
    page.one("#compare").click()
    page.ask("What moves?")
    heads = [one.text for one in page.all(".side-head")]
    own, other = (options.representation for options in told.options)
    assert own == told.representation
    assert other == told.fit_representation("12,64,1,2")
    for head, representation in zip(heads, (own, other), strict=True):
        tokens = make_layout(representation, 12).num_tokens
        assert str(representation) in head
        assert f"12 frames, {tokens} tokens" in head


def test_influence_is_heat_on_the_tape(page: Talking, site: Served, told: Told) -> None:
    page.take()
    said = page.ask("What leaves the picture?")
    page.button("Which frames mattered?").click()
    page.until(lambda: page.all("#tape .heat"))
    heights = [one.size["height"] for one in page.all("#tape .heat")]
    content = [
        {"type": "video", "video": str(THREE_SHAPES)},
        {"type": "text", "text": "What leaves the picture?"},
    ]
    measured = site.run(lambda: told.inner.influence([{"role": "user", "content": content}], said))
    assert np.argmax(heights) == np.argmax([span.influence for span in measured.spans])
    assert "answer 1" in page.text("#shown-text")
    page.button("Hide what mattered").click()
    page.until(lambda: not page.all("#tape .heat"))


def test_influence_is_offered_only_where_it_can_be_measured(
    page: Talking, told: Told, site: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "can_measure_influence", False, raising=False)
    page.start()
    page.take()
    page.ask("What leaves the picture?")
    assert not [one for one in page.all("button") if "Which frames" in one.text]
    refused = site.http.post(
        "/v1/influence",
        json={
            "messages": [{"role": "user", "content": "What?"}],
            "answer": "It.",
        },
    )
    assert (refused.status_code, "cannot measure" in refused.text) == (400, True)


def test_subtitles_are_on_the_player_and_in_the_prompt(
    page: Talking, told: Told, tmp_path: Path
) -> None:
    file = tmp_path / "said.srt"
    file.write_text(SUBTITLES)
    page.take()
    page.give("#subtitles-file", file)
    page.until(lambda: "said.srt (2)" in page.text("#subtitles"))
    cues = page.script(
        "return [...document.getElementById('player').textTracks[0].cues]"
        ".map(cue => [cue.startTime, cue.endTime, cue.getCueAsHTML().textContent])"
    )
    read = read_subtitles(file)
    assert cues == [[one.start_seconds, one.end_seconds, one.text] for one in read]
    page.ask("What is said?")
    assert text_of(told.asked[-1]) == f"{describe_subtitles(read)}\nWhat is said?"
    page.ask("And then?")
    assert text_of(told.asked[-1]) == "And then?"


def test_a_video_and_its_subtitles_can_be_dropped(page: Talking, tmp_path: Path) -> None:
    page.script(
        """
        const [name, bytes, text] = arguments;
        const transfer = new DataTransfer();
        transfer.items.add(new File([text], "said.vtt"));
        transfer.items.add(new File([Uint8Array.from(bytes)], name, { type: "video/mp4" }));
        for (const type of ["dragenter", "dragover", "drop"]) {
          dispatchEvent(new DragEvent(type, { dataTransfer: transfer, cancelable: true }));
        }
        """,
        THREE_SHAPES.name,
        list(THREE_SHAPES.read_bytes()),
        "WEBVTT\n\n00:01.000 --> 00:02.000 align:start\nHello",
    )
    page.until(lambda: page.all("#tape .frame"))
    page.until(lambda: "said.vtt (1)" in page.text("#subtitles"))
    assert not page.is_shown("#dropping")


def test_two_answers_cannot_be_asked_for_at_a_time(page: Talking, told: Told) -> None:
    page.take()
    told.shut()
    page.begin("Say: first")
    page.until(lambda: page.text(".turn .text") == "first")
    page.one("#question").send_keys("Say: second\n")
    released = threading.Timer(0.3, told.open)
    released.start()
    page.until(lambda: page.is_shown("#ask"))
    assert len(page.all(".turn")) == 1
    assert page.one("#question").get_property("value").strip() == "Say: second"


@pytest.mark.parametrize("name", ["12,64,1,2", "6,64,3,2"])
def test_what_is_offered_fits_the_model(page: Talking, told: Told, name: str) -> None:
    values = [one.get_attribute("value") for one in page.all("#representation option")]
    assert name in values
    for value in set(values) - {"", "other"}:
        assert isinstance(told.fit_representation(value), VideoRepresentation)
