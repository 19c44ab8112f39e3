"""The checks before a run are the same for every engine and for the forecast."""

import pytest

from llava_video.annotate.batch import write_wave
from llava_video.annotate.preflight import check_run
from llava_video.annotate.recipe import load_recipe
from llava_video.annotate.run import run
from llava_video.annotate.views.compare_history import compare
from llava_video.errors import InputError
from tests.annotate.make_videos import write_video

WRONG = [
    ("max_usd=1", "needs a price of m"),
    ("filters.benchmark_files=[nowhere.json]", "no such benchmark file"),
]


@pytest.mark.parametrize("begin", [run, write_wave, compare])
@pytest.mark.parametrize(("change", "said"), WRONG)
def test_every_way_to_begin_checks_first(begin, change, said, tmp_path):
    video = str(write_video(tmp_path / "v.mp4", size=(36, 48)))
    recipe = load_recipe("open", ["endpoint.model=m", "endpoint.base_url=http://x", change])
    with pytest.raises(InputError, match=said):
        begin([video], recipe, tmp_path / "out")
    with pytest.raises(InputError, match=said):
        check_run([video], recipe, is_sent=False)
    assert not (tmp_path / "out").exists()


def test_an_endpoint_is_looked_at_only_where_calls_are_sent_now(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    video = str(write_video(tmp_path / "v.mp4", size=(36, 48)))
    recipe = load_recipe("open")
    with pytest.raises(InputError, match="no API key"):
        check_run([video], recipe)
    [record] = check_run([video], recipe, is_sent=False)
    assert record.video_id == "v"
