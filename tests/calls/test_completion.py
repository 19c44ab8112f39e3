"""What servers send as a chat completion, and what they mean by it."""

# Cases are one a line.
# ruff: noqa: E501

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_video.calls.completion import BodyError, read_completion, split_thoughts


def body(message, **choice):
    return {"id": "x", "choices": [{"message": message, **choice}]}


@pytest.mark.parametrize(
    ("text", "answer", "thoughts"),
    [
        ("A dog.", "A dog.", ""),
        ("<think>Hm [1] {x}</think>A dog.", "A dog.", "Hm [1] {x}"),
        ("<think>\n\n</think>\n\nA dog.", "A dog.", ""),
        ("<think></think>A dog.", "A dog.", ""),
        ("Hm.\n</think>\n\nA dog.", "A dog.", "Hm."),
        ("<think>Hm, and so on", "", "Hm, and so on"),
        ("<think>a</think><think>b</think>A dog.", "A dog.", "a\n\nb"),
        ("<think>a <think>b</think> c</think>A dog.", "A dog.", "a <think>b</think> c"),
        ("<think>a <think>b</think>A dog.", "A dog.", "a <think>b"),
        ("<THINKING>a</THINKING> A dog.", "A dog.", "a"),
        ("<thought>a</thought>\nA dog.", "A dog.", "a"),
        ("<reasoning>a</reasoning><answer>A dog.</answer>", "A dog.", "a"),
        ("[THINK]a[/THINK]A dog.", "A dog.", "a"),
        ("◁think▷a◁/think▷A dog.", "A dog.", "a"),
        ("<seed:think>a</seed:think>A dog.", "A dog.", "a"),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>A dog.<|END_RESPONSE|>", "A dog.", "a"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>A dog.",
         "A dog.", "a"),
        ("A dog <think>sure?</think>runs.", "A dog runs.", "sure?"),
        ("A man is thinking </b> of <i>soup</i>.", "A man is thinking </b> of <i>soup</i>.", ""),
    ],
)  # fmt: skip
def test_thoughts_are_cut_off(text, answer, thoughts):
    assert split_thoughts(text) == (answer, thoughts)
    reply = read_completion(body({"content": text}))
    assert (reply.text, reply.thoughts) == (answer, thoughts)


@given(st.text(alphabet="ab<>/think []THINK|", max_size=60))
def test_what_was_cut_off_holds_no_thought(text):
    answer, _ = split_thoughts(text)
    assert split_thoughts(answer) == (answer, "")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_beside_the_answer_are_no_answer(name):
    reply = read_completion(body({"content": None, name: "Hm."}))
    assert (reply.text, reply.thoughts) == ("", "Hm.")
    reply = read_completion(body({"content": "A dog.", name: "Hm."}))
    assert (reply.text, reply.thoughts) == ("A dog.", "Hm.")


@pytest.mark.parametrize(
    ("content", "text", "thoughts"),
    [
        ([{"type": "text", "text": "A dog "}, {"type": "text", "text": "runs."}], "A dog runs.", ""),
        ([{"type": "output_text", "text": "A dog."}], "A dog.", ""),
        ([{"type": "text", "text": {"value": "A dog."}}], "A dog.", ""),
        (["A dog ", "runs."], "A dog runs.", ""),
        ({"type": "text", "text": "A dog."}, "A dog.", ""),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
          {"type": "text", "text": "A dog."}], "A dog.", "Hm."),
        ([{"type": "reasoning", "summary": [{"text": "Hm."}]}, {"text": "A dog."}], "A dog.", "Hm."),
        ([{"text": "Hm.", "thought": True}, {"text": "A dog."}], "A dog.", "Hm."),
        ([], "", ""),
        ([{"type": "text", "text": "A \ud83d dog."}], "A ? dog.", ""),
    ],
)  # fmt: skip
def test_content_as_parts_is_read(content, text, thoughts):
    reply = read_completion(body({"content": content}))
    assert (reply.text, reply.thoughts, reply.is_refusal) == (text, thoughts, False)


def test_a_choice_without_a_message_is_what_its_end_says():
    reply = read_completion({"choices": [{"message": None, "finish_reason": "content_filter"}]})
    assert (reply.text, reply.finish_reason) == ("", "content_filter")
    assert read_completion({"choices": [{"text": "A dog."}]}).text == "A dog."
    with pytest.raises(ValueError, match="without a message"):
        read_completion({"choices": [{"index": 0}]})


def test_a_refusal_is_marked_wherever_it_stands():
    for message in (
        {"content": None, "refusal": "No."},
        {"content": "", "refusal": "No."},
        {"content": [{"type": "refusal", "refusal": "No."}]},
    ):
        reply = read_completion(body(message))
        assert (reply.text, reply.is_refusal) == ("No.", True)


@pytest.mark.parametrize(
    ("value", "message", "status", "kind"),
    [
        ({"error": {"message": "no such model", "code": 404}}, "no such model", 404, "404"),
        ({"error": {"message": "m", "type": "insufficient_quota"}}, "m", None, "insufficient_quota"),
        ({"error": "out of memory"}, "out of memory", None, ""),
        ({"object": "error", "message": "too long", "code": 400}, "too long", 400, "400"),
        ({"detail": "not found"}, "not found", None, ""),
        ({"choices": [], "error": {"message": "m", "status": "503"}}, "m", 503, ""),
        ({"choices": [{"message": {"content": ""}, "finish_reason": "error",
          "error": {"message": "upstream", "code": 502}}]}, "upstream", 502, "502"),
    ],
)  # fmt: skip
def test_an_error_in_place_of_an_answer_keeps_the_servers_words(value, message, status, kind):
    with pytest.raises(BodyError, match=message) as caught:
        read_completion(value)
    assert (caught.value.status, caught.value.kind) == (status, kind)
