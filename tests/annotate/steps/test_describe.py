"""What the annotator is sent: frames with their times, history, prompts, structured output."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from llava_video.annotate.steps.prompts import load_examples, load_prompt
from llava_video.calls.messages import Picture
from llava_video.records.question_types import QUESTION_TYPES, SLUGS, find_type
from llava_video.video import read_video
from tests.annotate.fake_endpoint import FakeEndpoint, images_in, schema_name, texts_in
from tests.annotate.running import recipe_for, run_quietly


def requests_by_stage(videos, tmp_path, **changes):
    with FakeEndpoint() as fake:
        one = videos / "v2.mp4"  # 34 seconds
        result = run_quietly(one, recipe_for(fake, **changes), tmp_path / "out")
        return result.records[0], [request.body for request in fake.received]


def test_each_image_stands_beside_its_time(videos, tmp_path):
    record, bodies = requests_by_stage(videos, tmp_path)
    parts = bodies[0]["messages"][1]["content"]
    assert [part["type"] for part in parts] == ["text", *(["text", "image_url"] * 10)]
    assert [p["text"] for p in parts[1::2]] == [f"t={second}.0s" for second in range(10)]
    assert parts[2]["image_url"]["detail"] == "low"
    assert parts[2]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert record.num_frames_seen == 34


def test_models_that_take_video_get_one_per_clip(videos, tmp_path):
    record, bodies = requests_by_stage(videos, tmp_path, describe__send="video")
    framed, _ = requests_by_stage(videos, tmp_path / "framed")
    parts = bodies[0]["messages"][1]["content"]
    assert [part["type"] for part in parts] == ["text", "video_url"]
    kind, _, encoded = parts[1]["video_url"]["url"].partition(",")
    assert kind == "data:video/mp4;base64"
    (tmp_path / "clip.mp4").write_bytes(base64.b64decode(encoded))
    clip = read_video(str(tmp_path / "clip.mp4"), fps=100)
    whole = read_video(str(videos / "v2.mp4"), fps=1, size=clip.pixels.shape[1:3], end_seconds=10)
    assert list(clip.timestamps_seconds) == [float(second) for second in range(10)]
    assert np.abs(clip.pixels.astype(int) - whole.pixels).mean() < 12
    one, other = record.captions[0].provenance, framed.captions[0].provenance
    assert one.frame_digests == other.frame_digests
    assert one.call_key != other.call_key
    assert not images_in(bodies[0])


def test_levels_2_and_3_see_text_only(videos, tmp_path):
    record, bodies = requests_by_stage(videos, tmp_path)
    num_images = [len(images_in(body)) for body in bodies[:6]]
    assert num_images == [10, 10, 10, 0, 4, 0]
    assert [caption.level for caption in record.captions] == [1, 1, 1, 2, 1, 3]


def test_level_1_reads_what_came_before(videos, tmp_path):
    record, bodies = requests_by_stage(videos, tmp_path)
    texts = [caption.text for caption in record.captions]
    user = [texts_in(body)[1] for body in bodies]
    assert texts[0] not in user[0] and texts[0] in user[1]
    assert texts[0] in user[2] and texts[1] in user[2]
    assert all(text in user[3] for text in texts[:3])
    assert texts[3] in user[4] and texts[2] not in user[4]  # the summary stands for them
    assert texts[3] in user[5] and texts[4] in user[5]
    assert record.captions[4].provenance.parents == (record.captions[3].caption_id,)


def test_without_history_level_1_sees_frames_alone(videos, tmp_path):
    record, bodies = requests_by_stage(videos, tmp_path, describe__history="none")
    for index in (0, 1, 2, 4):
        assert "Description of" not in texts_in(bodies[index])[1]
        assert "Summary of" not in texts_in(bodies[index])[1]
    assert record.captions[0].text in texts_in(bodies[3])[1]


def test_provenance_names_every_frame_and_prompt(videos, tmp_path):
    record, _ = requests_by_stage(videos, tmp_path)
    first = record.captions[0].provenance
    assert first.frame_seconds == tuple(float(second) for second in range(10))
    assert len(set(first.frame_digests)) == 10
    assert first.prompt == load_prompt("level1").version
    assert first.prompt.startswith("level1@")


def test_once_asks_for_all_types_in_one_call_each(videos, tmp_path):
    _, bodies = requests_by_stage(videos, tmp_path, ask__types=list(SLUGS))
    asks = [body for body in bodies if schema_name(body).endswith("_pairs")]
    assert [schema_name(body) for body in asks] == ["open_ended_pairs", "multi_choice_pairs"]
    for body in asks:
        assert body["response_format"]["json_schema"]["strict"] is True
        assert all(f"#### {t.title}" in body["messages"][0]["content"] for t in QUESTION_TYPES)
        assert images_in(body) == []


def test_polling_asks_for_one_type_a_call(videos, tmp_path):
    record, bodies = requests_by_stage(videos, tmp_path, ask__mode="polling")
    asks = [body for body in bodies if schema_name(body).endswith("_pairs")]
    assert len(asks) == 4
    assert all(body["messages"][0]["content"].count("#### ") == 1 for body in asks)
    assert sorted(qa.qa_id for qa in record.qas) == [
        *("v2/mc/count", "v2/mc/temporal"),
        *("v2/oe/count", "v2/oe/temporal"),
    ]


def test_endpoints_without_structured_output_are_not_sent_any(videos, tmp_path):
    _, bodies = requests_by_stage(videos, tmp_path, endpoint__structured="none")
    assert not any("response_format" in body for body in bodies)


def test_every_type_has_a_definition_and_three_examples():
    for question_type in QUESTION_TYPES:
        definition, examples = load_examples(question_type.slug)
        assert len(definition) > 40
        assert len(examples) == 3
        for example in examples:
            assert len(example.distractors) == 3
            assert example.answer not in example.distractors
        assert find_type(question_type.title) == question_type.slug
    assert sum(t.paper_percent for t in QUESTION_TYPES) == pytest.approx(99.9)


def test_a_picture_is_known_by_its_pixels_and_sent_as_a_jpeg():
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, 15:] = 200
    fine, coarse = (
        Picture.of(pixels, 1.0, jpeg_quality=95),
        Picture.of(pixels, 2.0, jpeg_quality=10),
    )
    assert fine.digest == coarse.digest != Picture.of(pixels[:, ::-1], 1.0).digest
    assert (fine.width, fine.height) == (30, 20)
    _, _, encoded = fine.data_url().partition("data:image/jpeg;base64,")
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    assert np.abs(decoded.astype(int) - pixels).max() < 25
    assert len(coarse.jpeg) < len(fine.jpeg)
