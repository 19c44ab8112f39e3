"""The page for everyone: by keyboard, by screen reader, on a phone, and without its server."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser import Window
from tests.serve.page.talking import THREE_SHAPES, Talking
from tests.serve.page.told import Told, frames_of, text_of

ENTER, TAB, RIGHT = "\ue007", "\ue004", "\ue014"
CONTROLS = {"button", "checkbox", "combobox", "link", "menuitem", "slider", "textbox"}


def tab_to(page: Talking, name: str) -> None:
    for _ in range(60):
        page.press(TAB)
        if page.focused() == name:
            return
    raise AssertionError(f"Tab never reaches {name!r}")


def names_of_controls(page: Talking) -> list[tuple[str, str]]:
    """Roles and names, as screen readers get them."""
    nodes = page.command("Accessibility.getFullAXTree")["nodes"]
    return [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in nodes
        if not node.get("ignored") and node.get("role", {}).get("value") in CONTROLS
    ]


def test_everything_is_done_by_keyboard(page: Talking, told: Told) -> None:
    page.until(lambda: page.all(".sample"))
    tab_to(page, "three shapes")
    page.press(ENTER)
    page.until(lambda: page.all("#tape .frame"))
    tab_to(page, "Start of the part")
    page.press(RIGHT, RIGHT)
    page.until(lambda: "0:00.2" in page.text("#part-text"))
    page.until(
        lambda: (
            "at 0:00.2" in page.one("#tape .frame").get_attribute("aria-label")
            and page.one("#budget").get_attribute("aria-busy") == "false"
        )
    )
    tab_to(page, page.all("#tape .frame")[0].get_attribute("aria-label"))
    page.press(RIGHT, RIGHT, ENTER)
    page.until(lambda: page.all("#tape .frame")[2].get_attribute("aria-current") == "true")
    tab_to(page, "question")
    page.press("Say: at 0:03", ENTER)
    page.until(lambda: page.all(".turn .time"))
    page.until(lambda: page.is_shown("#ask") and not page.all(".turn.busy"))  # it is drawn anew
    tab_to(page, "Go to 0:03")
    page.press(ENTER)
    page.until(lambda: abs(page.seconds() - 3) < 0.01)
    assert min(frames_of(told)) >= 0.2


def test_every_control_has_a_name(page: Talking) -> None:
    page.until(lambda: page.all(".sample"))
    unnamed = [role for role, name in names_of_controls(page) if not name]
    assert unnamed == []
    page.take()
    page.one("#compare").click()
    page.ask("Say: at 0:01")
    page.all(".turn")[-1].find_element("css selector", ".actions button").click()
    page.until(lambda: page.all("#tape .heat"))
    controls = names_of_controls(page)
    assert len(controls) > 20
    assert [role for role, name in controls if not name] == []
    assert page.script("return document.querySelectorAll('[id]').length") == page.script(
        "return new Set([...document.querySelectorAll('[id]')].map(one => one.id)).size"
    )


@pytest.mark.parametrize("width", [320, 390, 768])
def test_no_width_scrolls_sideways(page: Talking, width: int) -> None:
    page.resize(width)
    assert not page.is_wide()
    page.take()
    assert not page.is_wide()
    page.one("#compare").click()
    page.ask("Say: " + "a_word_that_is_longer_than_any_line_of_a_phone_" * 3)
    assert not page.is_wide()
    ask = page.one("#ask")
    assert ask.location["x"] + ask.size["width"] <= width


def test_a_conversation_is_saved_read_offline_and_continued(
    page: Talking, told: Told, tmp_path: Path
) -> None:
    page.take()
    page.ask("Say: at 0:03 <b>bold</b> </script></body>")
    page.ask("Say: the end")
    folder = str(tmp_path)
    page.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder)
    page.one("#save").click()
    saved = tmp_path / "three_shapes-conversation.html"
    page.until(saved.exists)
    for outside in ("http:", "https:", 'src="/', "url("):
        assert outside not in saved.read_text().replace("http://www.w3.org/2000/svg", "")

    offline = Window(page.driver)
    offline.open(saved.as_uri())
    headings = [one.text for one in offline.all("h2")]
    assert headings[0] == "1. Say: at 0:03 <b>bold</b> </script></body>"
    assert "What the model saw of three_shapes.mp4" in headings
    assert len(offline.all("figure img")) == 13  # 12 frames, and their tape

    page.start()
    page.give("#conversation-file", saved)
    page.until(lambda: len(page.all(".turn")) == 2)
    assert "three_shapes.mp4" in page.text("#welcome-title")
    page.take(THREE_SHAPES)
    assert page.ask("Say: go on") == "go on"
    assert [text_of([message]) for message in told.asked[-1]] == [
        "Say: at 0:03 <b>bold</b> </script></body>",
        "at 0:03 <b>bold</b> </script></body>",
        "Say: the end",
        "the end",
        "Say: go on",
    ]


def test_what_is_no_conversation_is_refused(page: Talking, tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    other.write_text(
        "<p id='llava-video-conversation'>{\"format\": 1}</p><script>alert(1)</script>"
    )
    page.give("#conversation-file", other)
    page.until(lambda: "is not a conversation" in page.text("#problem-text"))


def test_another_video_asks_before_it_ends_a_conversation(page: Talking) -> None:
    page.take()
    page.ask("Say: stay")
    page.give("#video-file", THREE_SHAPES.with_name("two_movers.mp4"))
    page.until(lambda: page.is_shown("#over-dialog"))
    page.button("Stay").click()
    assert page.text(".turn .text") == "stay"
    page.give("#video-file", THREE_SHAPES.with_name("two_movers.mp4"))
    page.until(lambda: page.is_shown("#over-dialog"))
    page.button("Start over").click()
    page.until(lambda: "two_movers.mp4" in page.driver.title)
    assert page.all(".turn") == []


def test_a_file_that_the_browser_cannot_play_is_shown_in_stills(
    page: Talking, tmp_path: Path, write_mpeg4: Any
) -> None:
    page.take(write_mpeg4(tmp_path / "old.avi"))
    page.until(lambda: page.is_shown("#still"))
    assert "cannot play" in page.text("#unplayable")
    before = page.one("#still").get_attribute("src")
    page.all("#tape .frame")[-1].click()
    page.until(lambda: page.one("#still").get_attribute("src") != before)
    assert page.ask("Say: read it") == "read it"
