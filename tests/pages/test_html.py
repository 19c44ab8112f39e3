"""Pages are one file without outside assets, and every text of theirs is escaped."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from llava_video.pages.blocks import (
    Bar,
    Bars,
    Code,
    Figure,
    Figures,
    Histogram,
    Line,
    Lines,
    Page,
    Quote,
    Section,
    Table,
    Text,
    Tiles,
)
from llava_video.pages.html import to_html

EVIL = "<script>alert('x')</script>\" onload=\"x & {{ 7 * 7 }}"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
_VOID = {"meta", "link", "img"}


def every_block(text: str) -> Page:
    """A page with a text wherever a page takes one."""
    return Page(
        text,
        [Tiles([(text, text)]), Text(text)],
        [
            Section(text, [Quote(text), Code(text, ending=text), Figures([Figure(PIXEL, text)])]),
            Section(
                "charts",
                [
                    Bars([Bar(text, 3, text, 1), Bar("b", 0, "0")], (text, text)),
                    Histogram.of(text, [1.0, 2.0, 2.0]),
                    Histogram.of(text, []),
                    Lines([Line(text, [(1, 0.5), (2, 0.25)])]),
                ],
            ),
            Section(
                "tables",
                [
                    Table((text, "n", "seen"), [(text, 1234, Figures([Figure(PIXEL)]))], "lrl",
                          title=text, marked=0),
                ],
            ),
        ],
    )  # fmt: skip


class Tags(HTMLParser):
    """Collects tags and their attributes, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def parse(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    tags.close()
    assert tags.open == []
    return tags


def test_text_never_becomes_a_tag_or_an_attribute() -> None:
    evil, tame = parse(to_html(every_block(EVIL))), parse(to_html(every_block("tame")))
    assert [(tag, sorted(attributes)) for tag, attributes in evil.found] == [
        (tag, sorted(attributes)) for tag, attributes in tame.found
    ]
    assert evil.texts.count(EVIL) == tame.texts.count("tame") > 10


def test_a_page_needs_nothing_from_outside() -> None:
    page = to_html(every_block("a"))
    for tag, attributes in parse(page).found:
        assert tag not in ("script", "iframe", "object", "embed", "base")
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert not re.findall(r"url\(|@import|https?:", page)


def test_numbers_stand_to_the_right_with_thousands_apart() -> None:
    page = to_html(every_block("a"))
    assert '<td class="r">1,234</td>' in page
    assert page.index('<tr class="marked">') < page.index("1,234")


def test_bars_are_as_long_as_their_values_and_curves_end_at_their_extremes() -> None:
    page = to_html(
        Page(
            "a",
            [
                Bars([Bar("x", 50, "50"), Bar("y", 25, "25", 12.5)]),
                Lines([Line("l", [(0, 1.0), (5, 3.0), (10, 2.0)])]),
            ],
            [],
        )
    )
    assert re.findall(r'class="(own|reference)" y="\d+" height="\d+" width="([\d.]+)"', page) == [
        ("own", "100.0"),
        ("own", "50.0"),
        ("reference", "25.0"),
    ]
    [points] = re.findall(r'<polyline class="curve" points="([^"]*)"', page)
    places = [tuple(map(float, point.split(","))) for point in points.split()]
    assert places == [(56, 128), (194, 8), (332, 68)]
    assert ">3</text>" in page and ">1</text>" in page and "step 10" in page


def test_many_points_have_no_dots() -> None:
    lines = Lines([Line("l", [(step, step) for step in range(100)])])
    assert "<circle" not in to_html(Page("a", [lines], []))


def test_columns_that_do_not_match_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="columns of head, rows and align differ"):
        Table(("a", "b"), [("x",)])
    with pytest.raises(ValueError, match="differ"):
        Table(("a", "b"), [], "lll")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize("width", [360, 1200])
def test_a_browser_shows_it_without_scrolling_sideways(tmp_path: Path, width: int) -> None:
    """The page itself stays as wide as the window; only wide tables scroll."""
    wide = Table(["name", *map(str, range(40))], [["x" * 30, *["123,456"] * 40]], "l" + "r" * 40)
    page = every_block("word " * 40 + "x" * 300)
    path = tmp_path / "page.html"
    path.write_text(to_html(Page(page.title, [*page.lead, wide], page.sections)))
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="page.html" style="width:{width}px;height:600px;border:0"></iframe>'
        "<script>onload = () => { document.body.dataset.width ="
        " document.getElementById('f').contentDocument.documentElement.scrollWidth }</script>"
    )
    words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
             "--allow-file-access-from-files", f"--window-size={max(width, 500)},800",
             f"--user-data-dir={tmp_path / 'profile'}"]  # fmt: skip
    done = subprocess.run([*words, frame.as_uri()], capture_output=True, text=True, check=True)
    [shown] = re.findall(r'data-width="(\d+)"', done.stdout)
    assert int(shown) <= width
