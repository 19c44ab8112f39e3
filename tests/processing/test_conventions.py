"""What code written for transformers asks of a processor and a model, asked of ours."""

import base64
import functools
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.video_utils import VideoMetadata

import llava_video as lv
from llava_video.errors import InputError, VideoError
from llava_video.processing.processor import LlavaVideoProcessor
from tests.model.small import random_frames, small_processor

SAMPLES = Path(str(files("llava_video") / "assets" / "samples"))
MOVIE = SAMPLES / "two_movers.mp4"
TINY = Path(str(files("llava_video") / "assets" / "tiny"))
AS_THERE = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}


@pytest.fixture(scope="module")
def processor() -> LlavaVideoProcessor:
    return small_processor()


@pytest.fixture
def server(tmp_path: Path):  # type: ignore[no-untyped-def]
    """The sample videos and one image, over HTTP on loopback."""
    (tmp_path / "movie.mp4").write_bytes(MOVIE.read_bytes())
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    Image.fromarray(random_frames(1, size=(20, 30)).pixels[0]).save(tmp_path / "image.png")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def conversation(*parts: dict[str, object], text: str = "What?") -> list[dict[str, object]]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def data_address(media_type: str, file: Path) -> str:
    return f"data:{media_type};base64,{base64.b64encode(file.read_bytes()).decode()}"


def assert_equal(one, other) -> None:  # type: ignore[no-untyped-def]
    assert set(one) == set(other)
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_a_call_as_for_any_model_of_transformers(processor) -> None:  # type: ignore[no-untyped-def]
    messages = conversation({"type": "video", "path": str(MOVIE)})
    inputs = processor.apply_chat_template(
        messages, **AS_THERE, add_generation_prompt=True, num_frames=5, padding=True
    )
    expected = processor("What?", lv.read_video(MOVIE, num_frames=5, size=64))
    assert_equal(inputs, expected)
    kept_together = {"num_frames": 5, "padding": True}
    assert_equal(
        processor.apply_chat_template(messages, **AS_THERE, processor_kwargs=kept_together),
        expected,
    )
    ids = processor.apply_chat_template(messages, num_frames=5, return_dict=False)
    assert torch.equal(ids, expected["input_ids"])


def test_paths_addresses_and_objects_show_the_same(processor, server) -> None:  # type: ignore[no-untyped-def]
    ways = [
        {"path": str(MOVIE)},
        {"path": MOVIE},
        {"url": str(MOVIE)},
        {"url": MOVIE.as_uri()},
        {"video": str(MOVIE)},
        {"url": f"{server}/movie.mp4"},
        {"video": f"{server}/movie.mp4"},
        {"video": data_address("video/mp4", MOVIE)},
        {"url": data_address("video/mp4", MOVIE)},
        {"base64": base64.encodebytes(MOVIE.read_bytes()).decode()},
    ]
    first, *others = (
        processor.apply_chat_template(conversation({"type": "video", **way}), fps=2) for way in ways
    )
    for inputs in others:
        assert_equal(inputs, first)


def test_images_from_everywhere_show_the_same(processor, server, tmp_path) -> None:  # type: ignore[no-untyped-def]
    pixels = random_frames(1, size=(20, 30)).pixels[0]
    path = tmp_path / "image.png"
    ways = [
        {"image": pixels},
        {"image": Image.fromarray(pixels)},
        {"path": path},
        {"url": path.as_uri()},
        {"url": f"{server}/image.png"},
        {"image": data_address("image/png", path)},
        {"url": data_address("image/png", path)},
        {"base64": base64.b64encode(path.read_bytes()).decode()},
    ]
    first, *others = (
        processor.apply_chat_template(conversation({"type": "image", **way})) for way in ways
    )
    for inputs in others:
        assert_equal(inputs, first)


def test_images_are_shown_upright(processor, tmp_path) -> None:  # type: ignore[no-untyped-def]
    image = Image.fromarray(random_frames(1, size=(20, 30)).pixels[0])
    turned = image.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    turned.save(tmp_path / "turned.png", exif=exif)
    assert_equal(processor("", images=tmp_path / "turned.png"), processor("", images=image))


def test_a_list_of_pictures_is_a_video(processor, tmp_path) -> None:  # type: ignore[no-untyped-def]
    frames = random_frames(3)
    paths = []
    for index, pixels in enumerate(frames.pixels):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels).save(paths[-1])
    several = conversation({"type": "video", "video": paths})
    assert_equal(processor.apply_chat_template(several), processor("What?", frames))


def test_videos_in_memory_are_sampled_as_files_are(processor) -> None:  # type: ignore[no-untyped-def]
    pixels = random_frames(30).pixels
    part = conversation({"type": "video", "video": pixels})
    chosen = np.linspace(0, 29, 8, dtype=int)
    sampled = processor.apply_chat_template(part, num_frames=8)
    torch.testing.assert_close(
        sampled["pixel_values_videos"], processor.preprocess(lv.Frames.from_array(pixels[chosen]))
    )
    metadata = VideoMetadata(total_num_frames=30, fps=10)
    one_second = processor.apply_chat_template(part, fps=2, video_metadata=[metadata])
    assert one_second["num_frames_per_video"].tolist() == [6]
    assert "lasts for 3.00 seconds" in processor.apply_chat_template(
        part, fps=2, video_metadata=[metadata], tokenize=False
    )


def test_metadata_tell_which_frames_a_sample_holds(processor) -> None:  # type: ignore[no-untyped-def]
    metadata = VideoMetadata(total_num_frames=90, fps=30, frames_indices=[0, 44, 89])
    frames = processor.sample_frames(random_frames(3).pixels, metadata=metadata)
    assert frames.timestamps_seconds.tolist() == pytest.approx(metadata.timestamps)
    assert frames.duration_seconds == 3


def test_several_conversations_are_padded_on_the_left_and_equal_single_ones(processor) -> None:  # type: ignore[no-untyped-def]
    video = {"type": "video", "video": random_frames(3)}
    messages = [
        conversation(video, {"type": "video", "video": random_frames(2, seed=1)}),
        conversation(text="Is it red?"),
        conversation(video, text="What colour is it?"),
    ]
    batch = processor.apply_chat_template(messages, **AS_THERE)
    assert batch["num_frames_per_video"].tolist() == [3, 2, 3]
    singles = [processor.apply_chat_template(single, **AS_THERE) for single in messages]
    for row, single in enumerate(singles):
        kept = batch["attention_mask"][row].bool()
        assert torch.equal(batch["input_ids"][row][kept], single["input_ids"][0])
        assert kept.tolist() == sorted(kept.tolist())


def test_text_shows_each_video_as_one_placeholder(processor) -> None:  # type: ignore[no-untyped-def]
    messages = [{"role": "system", "content": "Be brief."}]
    messages += conversation({"type": "video", "video": random_frames(2)}, text="What?")
    text = processor.apply_chat_template(messages, tokenize=False)
    assert text.startswith(
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<image>\nThe"
    )
    assert text.endswith("What?<|im_end|>\n<|im_start|>assistant\n")
    assert processor.apply_chat_template([messages], tokenize=False) == [text]


def test_a_final_message_can_be_continued(processor) -> None:  # type: ignore[no-untyped-def]
    messages = [*conversation(), {"role": "assistant", "content": "It is"}]
    text = processor.apply_chat_template(messages, continue_final_message=True, tokenize=False)
    assert text.endswith("<|im_start|>assistant\nIt is")
    with pytest.raises(InputError, match="not both"):
        processor.apply_chat_template(
            messages, continue_final_message=True, add_generation_prompt=True
        )


@pytest.mark.parametrize(
    ("part", "options", "error", "message"),
    [
        ({"video": MOVIE}, {"num_frames": 4, "fps": 1}, InputError, "num_frames or fps, not both"),
        ({"video": MOVIE}, {"num_frame": 4}, InputError, "no option .* 'num_frame'"),
        ({"video": MOVIE}, {"padding_side": "top"}, InputError, "padding_side='top'"),
        ({"video": MOVIE}, {"truncation": True}, InputError, "truncation=True would cut video"),
        ({"video": MOVIE}, {"pad_to_multiple_of": -8}, InputError, "not a number of at least 1"),
        ({"video": MOVIE}, {"chat_template": "{{x}}"}, InputError, "chat_template='{{x}}'"),
        ({"video": MOVIE, "path": MOVIE}, {}, InputError, "under 'video' or 'path' or 'url' or"),
        ({"path": "nowhere.mp4"}, {}, VideoError, "nowhere.mp4: no such file"),
        ({"url": "http://127.0.0.1:9/a.mp4"}, {}, InputError, "127.0.0.1:9/a.mp4: cannot be fetch"),
        ({"url": "file://host/a.mp4"}, {}, InputError, "is on another machine"),
        (
            {"url": "data:video/mp4;base64,#"},
            {},
            InputError,
            r"^data:video/mp4;base64,\.\.\.: does",
        ),
        ({"url": "data:video/mp4,abc"}, {}, InputError, "does not say ;base64"),
        ({"base64": "YWJj"}, {}, VideoError, r"^data:;base64,\.\.\.: cannot be"),
        ({"video": [3]}, {}, InputError, "a int is not an image"),
        ({"video": np.zeros((2, 8, 8))}, {}, InputError, "frames must be uint8"),
    ],
)
def test_what_cannot_be_shown(processor, part, options, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        processor.apply_chat_template(conversation({"type": "video", **part}), **options)


def test_messages_name_the_address_and_not_a_copy(processor, server) -> None:  # type: ignore[no-untyped-def]
    for kind, error in (("video", VideoError), ("image", InputError)):
        part = {"type": kind, "url": f"{server}/broken.mp4"}
        with pytest.raises(error, match=rf"^{server}/broken\.mp4: cannot be"):
            processor.apply_chat_template(conversation(part))


def test_images_that_are_none(processor, tmp_path) -> None:  # type: ignore[no-untyped-def]
    for image, message in (
        (tmp_path / "nowhere.png", r"nowhere\.png: cannot be read as an image"),
        (MOVIE, "two_movers.mp4: cannot be read as an image"),
        (np.zeros((4, 4), np.uint8), r"must be uint8 of shape \(H, W, 3\)"),
    ):
        with pytest.raises(InputError, match=message):
            processor("What?", images=image)


PROGRAM = """
import warnings
warnings.simplefilter("error")
import PIL.Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, pipeline
import llava_video
directory, movie = {tiny!r}, {movie!r}
assert AutoConfig.from_pretrained(directory).model_type == "llava_video"
processor = AutoProcessor.from_pretrained(directory)
model = AutoModelForImageTextToText.from_pretrained(directory)
asked = [{{"role": "user", "content": [{{"type": "video", "url": movie}},
          {{"type": "text", "text": "In which direction does the ring move?"}}]}}]
greedy = {{"max_new_tokens": 8, "do_sample": False}}
pipe = pipeline("image-text-to-text", model=directory)
inputs = processor.apply_chat_template(asked, tokenize=True, return_dict=True, return_tensors="pt")
output = model.generate(**inputs, **greedy)
answer = processor.decode_answer(output[0], inputs["input_ids"].shape[1])
said = pipe(text=asked, generate_kwargs=greedy)
assert said[0]["generated_text"][-1] == {{"role": "assistant", "content": answer}}, said
new = pipe(text=[asked, asked], generate_kwargs=greedy, return_full_text=False)
assert [chat[0]["generated_text"] for chat in new] == [answer, answer], new
prefilled = asked + [{{"role": "assistant", "content": [{{"type": "text", "text": "The"}}]}}]
assert pipe(text=prefilled, max_new_tokens=2)[0]["generated_text"][-1]["content"]
image = PIL.Image.new("RGB", (80, 60))
plain = pipe(images=image, text="What?", max_new_tokens=4)
assert plain[0]["generated_text"].startswith("What?")
print("fine", answer)
"""


def test_auto_classes_and_pipeline() -> None:
    program = PROGRAM.format(tiny=str(TINY), movie=str(MOVIE))
    ran = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("fine")
    assert "torchvision" not in ran.stderr
