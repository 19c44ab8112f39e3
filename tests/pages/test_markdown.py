"""Tables in Markdown."""

from llava_video.pages.blocks import Table
from llava_video.pages.markdown import to_markdown


def test_a_cell_stays_in_its_row_and_holds_no_tag() -> None:
    rows = [("a|b", 1234), ("<script>\nx & y", "-")]
    assert to_markdown(Table(("name", "n"), rows, "lr")).splitlines() == [
        "| name | n |",
        "| --- | --- |",
        "| a\\|b | 1,234 |",
        "| &lt;script> x &amp; y | - |",
    ]
