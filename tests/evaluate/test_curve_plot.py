"""The plot of curves puts values where they belong."""

from xml.etree import ElementTree

from llava_video.evaluate.curve_plot import plot_curves
from llava_video.evaluate.scoring.scores import Mean, mean_of

SVG = "{http://www.w3.org/2000/svg}"


def mean(value: float) -> Mean:
    """Of questions about four videos."""
    return mean_of([value - 0.1, value + 0.1, value - 0.1, value + 0.1], range(4))


def test_more_tokens_are_further_right_and_higher_values_further_up() -> None:
    curves = {"a & b": [(48, mean(0.5)), (24, mean(0.3))], "c": [(24, mean(0.4))]}
    drawn = ElementTree.fromstring(plot_curves("t", curves, (96, mean(0.6))))
    circles = [
        (float(dot.get("cx") or 0), float(dot.get("cy") or 0))
        for dot in drawn.findall(f"{SVG}circle")
    ]
    half, quarter, other = circles
    assert quarter[0] < other[0] < half[0], "points of one count stand side by side"
    assert half[1] < other[1] < quarter[1]
    lines = [line.get("points", "").split() for line in drawn.findall(f"{SVG}polyline")]
    assert [len(line) for line in lines] == [3, 2], "each up to the reference"
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert {"a & b", "c", "24", "48", "96", "video tokens"} < set(texts)
