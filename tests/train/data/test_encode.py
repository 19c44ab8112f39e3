"""What is supervised of a sample, and how its length is known before its video is read."""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch.utils.data import DataLoader

from llava_video.errors import VideoError
from llava_video.model.pixels import normalise
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.train.attention import PACKED
from llava_video.train.data.encode import Encoder, RowCollator, RowDataset, unwrapped
from llava_video.train.data.lengths import measure
from llava_video.train.data.packing import LABEL_IGNORED
from llava_video.train.data.samples import Folders, Sample, as_sample, read_mixture
from llava_video.train.recipe import Recipe, load_recipe
from tests.model.small import small_model, small_processor


def recipe_with(*changes: str) -> Recipe:
    return load_recipe("projector", ["model=m", "mixture=x", "out=o", *changes])


def encoder_with(*changes: str) -> Encoder:
    return Encoder(small_processor(), recipe_with(*changes))


TILES = {"tile_size": 64, "grid_side": 8, "tile_grids": [[1, 2], [2, 1], [2, 2]], "max_tiles": 2}


def encoder_of_tiles(*changes: str) -> Encoder:
    processor = small_processor()
    processor.image_representation = {**processor.image_representation, **TILES}
    return Encoder(processor, recipe_with(*changes))


@pytest.fixture(scope="session")
def samples(toy_data: Path) -> list[Sample]:
    parts = read_mixture(toy_data / "mixture.yaml", Folders(toy_data, toy_data))
    return [sample for part in parts for sample in part.samples]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wide picture, a tall one, and a wide one that a camera held upright has stored lying."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for name, (height, width) in {"wide": (50, 140), "tall": (170, 60), "lying": (60, 130)}.items():
        picture = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
        exif = picture.getexif()
        exif[ExifTags.Base.Orientation] = 6 if name == "lying" else 1
        picture.save(folder / f"{name}.png", exif=exif)
    return folder


def ask_about(kind: str, *paths: Path, answer: str = "It is red.") -> Sample:
    parts = [{"type": kind, "path": str(path)} for path in paths]
    question = [*parts, {"type": "text", "text": "What colour is it?"}]
    return Sample(
        f"{kind}s",
        ({"role": "user", "content": question}, {"role": "assistant", "content": answer}),
    )


@pytest.mark.parametrize("change", ["num_frames=5", "fps=1", "fps=30"])
def test_the_length_is_known_before_the_video_is_read(samples: list[Sample], change: str) -> None:
    encoder = encoder_with(change)
    for sample in samples:
        assert encoder.measure(sample) == len(encoder.encode(sample).input_ids)


def spoken(processor: LlavaVideoProcessor, ids: list[int], labels: list[int]) -> list[str]:
    """Each unbroken stretch of what is supervised, as text."""
    stretches: list[list[int]] = [[]]
    for token, wanted in zip(ids, labels, strict=True):
        if wanted == LABEL_IGNORED:
            stretches.append([])
        else:
            assert wanted == token
            stretches[-1].append(token)
    return [processor.tokenizer.decode(stretch) for stretch in stretches if stretch]


TALK = Sample(
    "talk",
    (
        {"role": "user", "content": "What colour?"},
        {"role": "assistant", "content": "It is red."},
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": "Red."},
    ),
)


def test_the_assistant_learns_what_it_says_and_when_to_stop() -> None:
    encoder = encoder_with()
    encoded = encoder.encode(TALK)
    said = spoken(encoder.processor, encoded.input_ids, encoded.labels)
    assert said == ["It is red.<|im_end|>", "Red.<|im_end|>"]


def test_the_official_mask_has_its_quirks() -> None:
    encoder = encoder_with("labels=llava_next")
    encoded = encoder.encode(TALK)
    said = spoken(encoder.processor, encoded.input_ids, encoded.labels)
    assert said == [
        "<|im_start|>", "\n", "<|im_end|>\n<|im_start|>", "\n",
        "<|im_end|>\n<|im_start|>assistant\nIt is red.<|im_end|>\n<|im_start|>", "\n",
        "<|im_end|>\n<|im_start|>assistant\nRed.<|im_end|>\n",
    ]  # fmt: skip


@pytest.mark.parametrize("names", [["wide"], ["tall"], ["lying"], ["wide", "tall", "lying"]])
def test_images_have_the_tiles_of_the_processor(pictures: Path, names: list[str]) -> None:
    encoder = encoder_of_tiles()
    sample = ask_about("image", *(pictures / f"{name}.png" for name in names))
    encoded = encoder.encode(sample)
    assert encoder.measure(sample) == len(encoded.input_ids)
    batch = RowCollator(encoder.processor)([[encoded]])
    batch["pixel_values"] = normalise(batch["pixel_values"])
    expected = encoder.processor.apply_chat_template(
        list(sample.messages), add_generation_prompt=False
    )
    for name in ("input_ids", "pixel_values", "num_tiles_per_image", "image_sizes",
                 "mm_token_type_ids"):  # fmt: skip
        assert torch.equal(batch[name], expected[name]), name
    assert (batch["num_tiles_per_image"].sum() > len(names)) == (len(names) == 1)


def test_samples_of_all_kinds_stand_in_one_row(samples: list[Sample], pictures: Path) -> None:
    encoder = encoder_of_tiles("num_frames=3")
    several = [samples[0], ask_about("image", pictures / "tall.png"), TALK, samples[1]]
    rows = RowDataset(several, [(0, 1), (2, 3)], encoder, None)
    batch = RowCollator(encoder.processor)([rows[0], rows[1]])
    singles = [encoder.encode(sample) for sample in several]
    lengths = [len(single.input_ids) for single in singles]
    assert batch["sample_names"] == [sample.name for sample in several]
    assert batch["num_tokens"] == sum(lengths)
    assert batch["num_frames_per_video"].tolist() == [3, 3]
    assert batch["cu_seq_lens_q"].diff().tolist() == lengths
    assert batch["position_ids"][0].tolist() == [i for length in lengths for i in range(length)]


@pytest.mark.parametrize("labels", ["assistant", "llava_next"])
def test_a_batch_has_the_loss_and_gradients_of_its_samples(
    samples: list[Sample], pictures: Path, labels: str
) -> None:
    encoder = encoder_of_tiles("num_frames=3", f"labels={labels}")
    several = [
        samples[0], ask_about("image", pictures / "wide.png"), TALK, samples[1],
        ask_about("image", *pictures.glob("*.png"), answer="Red."),
    ]  # fmt: skip
    encoded = [encoder.encode(sample) for sample in several]
    model = small_model(
        video_token_id=encoder.processor.video_token_id,
        image_representation=encoder.processor.image_representation,
    ).train()
    num_labels = 0
    for one in encoded:
        inputs = encoder.processor.pixels(one.seen)
        if one.seen.tiles:
            inputs["mm_token_type_ids"] = torch.tensor([one.token_types])
        ids, labels = torch.tensor([one.input_ids]), torch.tensor([one.labels])
        count = (labels[:, 1:] != LABEL_IGNORED).sum()
        (model(input_ids=ids, labels=labels, **inputs).loss * count).backward()
        num_labels += count
    expected = gradients(model, 1 / num_labels)

    model.zero_grad()
    model.set_attn_implementation({"text_config": PACKED})
    batch = RowCollator(encoder.processor)([encoded[:3], encoded[3:]])
    assert (batch["shift_labels"] != LABEL_IGNORED).sum() == num_labels
    del batch["sample_names"], batch["num_tokens"]
    model(**batch).loss.backward()
    found = gradients(model)
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)


def gradients(model: torch.nn.Module, factor: torch.Tensor | float = 1.0) -> dict:
    named = model.named_parameters()
    return {name: p.grad * factor for name, p in named if p.grad is not None}


def test_a_question_is_the_conversation_up_to_its_last_answer(samples: list[Sample]) -> None:
    encoder = encoder_with("num_frames=3")
    tokenizer = encoder.processor.tokenizer
    for sample in samples[:3]:
        whole, question = encoder.encode(sample), encoder.encode_question(sample)
        num = len(question.input_ids)
        assert question.input_ids == whole.input_ids[:num]
        assert question.token_types == whole.token_types[:num]
        said = tokenizer.decode(whole.input_ids[num:])
        assert said == f"{sample.messages[-1]['content']}<|im_end|>\n"
        assert set(question.labels) == {LABEL_IGNORED}


def test_a_video_that_fails_is_an_error_or_is_reported(
    samples: list[Sample], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    shutil.copy(samples[0].media[0].source, broken)
    bad = ask_about("video", broken)
    encoder = encoder_with("num_frames=3")
    encoder.measure(bad)  # when the run was planned, it was whole
    broken.write_bytes(b"no video" * 100)
    with pytest.raises(VideoError, match=r"videos: .*broken\.mp4"):
        RowDataset([bad], [(0,)], encoder, None)[0]

    report = tmp_path / "skipped.jsonl"
    rows = RowDataset([bad, samples[0]], [(0, 1), (0,)], encoder, report)
    assert [encoded.name for encoded in rows[0]] == [samples[0].name]
    batch = RowCollator(encoder.processor)([rows[1]])
    assert batch.pop("sample_names") == []
    assert batch.pop("num_tokens") == 0
    model = small_model()
    model.set_attn_implementation({"text_config": PACKED})
    assert model(**batch, num_items_in_batch=1).loss == 0
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert [line["sample"] for line in lines] == ["videos", "videos"]
    assert "broken.mp4" in lines[0]["reason"]


def test_an_image_that_fails_is_an_error_or_is_reported(pictures: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    whole = (pictures / "wide.png").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    bad = ask_about("image", cut)
    encoder = encoder_with()
    encoder.measure(bad)  # its header is whole
    with pytest.raises(VideoError, match=r"images: .*cut\.png"):
        RowDataset([bad], [(0,)], encoder, None)[0]
    assert RowDataset([bad], [(0,)], encoder, tmp_path / "skipped.jsonl")[0] == []
    assert "cut.png" in (tmp_path / "skipped.jsonl").read_text()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_is_one_line(tmp_path: Path, workers: int) -> None:
    encoder = encoder_with()
    rows = RowDataset([ask_about("video", tmp_path / "gone.mp4")], [(0,)], encoder, None)
    loader = DataLoader(rows, num_workers=workers, collate_fn=RowCollator(encoder.processor))
    with pytest.raises(VideoError, match=r"^videos: .*gone\.mp4: no such file[^\n]*$"), unwrapped():
        next(iter(loader))


def test_base64_is_the_file_that_it_holds(toy_data: Path, pictures: Path) -> None:
    video = next((toy_data / "videos").glob("*.mp4"))
    encoder = encoder_with("num_frames=3")
    for kind, path, mime in (
        ("video", video, "video/mp4"),
        ("image", pictures / "wide.png", "image/png"),
    ):
        address = f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}"
        turns = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "It."}]
        named, held = (
            as_sample(
                {kind: name, "conversations": turns}, "one", Folders(path.parent, path.parent)
            )
            for name in (path.name, address)
        )
        assert encoder.measure(named) == encoder.measure(held)
        first, second = encoder.encode(named), encoder.encode(held)
        assert first.input_ids == second.input_ids
        for one, other in zip(first.seen.frames, second.seen.frames, strict=True):
            assert np.array_equal(one.pixels, other.pixels)
        for one, other in zip(first.seen.tiles, second.seen.tiles, strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("content", ["", "AAAA", "#"])
def test_base64_of_nothing_is_found_by_the_dry_run(content: str) -> None:
    turns = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "It."}]
    for kind in ("video", "image"):
        record = {kind: f"data:{kind}/x;base64,{content}", "conversations": turns}
        sample = as_sample(record, "one", Folders(Path(), Path()))
        (why,) = measure(encoder_with("num_frames=3"), [sample])
        assert isinstance(why, str)
        assert why.startswith(f"data:{kind}/x;base64,...: ")
        assert "\n" not in why


@pytest.mark.parametrize("sampling", ["num_frames=4", "fps=1"])
@pytest.mark.parametrize("cached", [False, True])
def test_a_folder_of_pictures_is_trained_as_a_video(
    tmp_path: Path, sampling: str, *, cached: bool
) -> None:
    folder = tmp_path / "v_1"
    folder.mkdir()
    for number in range(9):
        Image.new("RGB", (16, 12), (number * 20, 0, 0)).save(folder / f"{number:04d}.jpg")
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "It."}]
    record = {"video": "v_1", "conversations": turns}
    sample = as_sample(record, "one", Folders(tmp_path, tmp_path))
    changes = [sampling, f"frames_cache={tmp_path / 'cache'}"] if cached else [sampling]
    encoder = encoder_with(*changes)
    encoded = encoder.encode(sample)
    assert encoder.measure(sample) == len(encoded.input_ids)
    (frames,) = encoded.seen.frames
    assert frames.duration_seconds == 4.5
    expected = [0, 2, 5, 8] if sampling == "num_frames=4" else [0, 2, 4, 6, 8]
    assert frames.indices.tolist() == expected
    (folder / "0008.jpg").write_bytes(b"broken")
    (why,) = measure(encoder_with(*changes), [sample])
    assert "0008.jpg: cannot be read as an image" in str(why)
