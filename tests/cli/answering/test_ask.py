"""``ask``: an answer with what the model saw, or one line that says what to do."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from transformers.utils.logging import enable_progress_bar

import llava_video
from llava_video.checkpoints.load import load
from llava_video.errors import LlavaVideoError
from tests.budget.memory import needed_bytes, set_free_memory
from tests.cli.run import Shell
from tests.video.media import write_video

SAMPLE = Path(llava_video.__file__).parent / "assets" / "samples" / "three_shapes.mp4"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(write_video(tmp_path_factory.mktemp("ask") / "video.mp4", num_frames=50))


def test_json_reports_the_answer_and_the_frames(
    shell: Shell, small_checkpoint: Path, video: Path
) -> None:
    done = shell("ask", video, "What?", "--model", small_checkpoint, "--num-frames", 5, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["model"] == str(small_checkpoint)
    assert result["num_frames"] == len(result["timestamps_seconds"]) == 5
    assert result["num_video_tokens"] == 2 * (16 + 4 + 1) + 3 * (4 + 2 + 1)
    assert result["representation"] == "8,64,3,2 average newline=grid separator"
    assert set(result["seconds"]) == {
        "processor",
        "frames",
        "weights",
        "prepare",
        "vision",
        "answer",
    }
    assert isinstance(result["answer"], str)


@pytest.mark.parametrize(
    ("option", "value", "precision"),
    [("--dtype", "bfloat16", "bfloat16"), ("--quantize", "int8", "int8"), (None, "", "float32")],
)
def test_it_computes_in_what_was_asked_for_and_says_so(
    option: str | None, value: str, precision: str, shell: Shell
) -> None:
    question = "In which direction does the ring move?"
    chosen = [] if option is None else [option, value]
    done = shell("ask", SAMPLE, question, "--device", "cpu", *chosen)
    assert done.out.startswith("left\n"), done.err
    assert f"model   tiny on cpu, {precision}\n" in done.out


def test_what_cannot_be_computed_in_is_one_line(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for verb, words in (("ask", [SAMPLE, "What?"]), ("chat", [SAMPLE])):
        for options, said in (
            (["--dtype", "fp8"], "no dtype is called 'fp8'"),
            (["--quantize", "int8", "--dtype", "bfloat16"], "the rest is float32"),
        ):
            monkeypatch.setattr("sys.stdin", io.StringIO("What?\n"))
            done = shell(verb, *words, "--device", "cpu", *options)
            assert done.code == 2 and said in done.err and done.err.count("\n") == 1


def test_text_tells_the_same(shell: Shell, small_checkpoint: Path, video: Path) -> None:
    done = shell("ask", video, "What?", "--model", small_checkpoint, "--max-new-tokens", 3)
    assert "frames  8 at 0.00, " in done.out
    assert "V = 8,64,3,2" in done.out
    assert "tiny knows only" not in done.err


def test_nothing_but_the_answer_is_said(shell: Shell, small_checkpoint: Path, video: Path) -> None:
    enable_progress_bar()
    done = shell("ask", video, "What?", "--model", small_checkpoint, "--max-new-tokens", 1)
    assert done.err == ""


def test_the_answer_is_the_one_that_python_gives(
    shell: Shell, small_checkpoint: Path, video: Path
) -> None:
    result = json.loads(
        shell(
            "ask", video, "What?", "--model", small_checkpoint, "--max-new-tokens", 6, "--json"
        ).out
    )
    model, processor = load(small_checkpoint)
    inputs = processor("What?", video)
    output = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    assert result["answer"] == processor.decode_answer(output[0], inputs["input_ids"].shape[1])


def test_representation_and_rate_reach_the_model(
    shell: Shell, small_checkpoint: Path, video: Path
) -> None:
    words = ["--model", small_checkpoint, "--max-new-tokens", 1, "--json"]
    result = json.loads(shell("ask", video, "x", "--representation", "6,64,1,2", *words).out)
    assert (result["num_frames"], result["num_video_tokens"]) == (6, 6 * 21)
    result = json.loads(shell("ask", video, "x", "--fps", 2, *words).out)
    assert result["timestamps_seconds"] == [0.0, 0.48, 0.96, 1.44, 1.92]


def test_what_does_not_fit_is_said_or_refused(
    shell: Shell,
    small_checkpoint: Path,
    video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["--model", small_checkpoint, "--max-new-tokens", 1, "--device", "auto", "--json"]
    set_free_memory(needed_bytes(small_checkpoint, 3, 1) + 1024, tmp_path, monkeypatch)
    done = shell("ask", video, "x", *words)
    result = json.loads(done.out)
    assert result["num_frames"] < 8
    assert result["device"] == "cpu"
    assert len(result["warnings"]) == 1
    assert f"took V = {result['num_frames']},64," in result["warnings"][0]
    assert done.err.endswith(f"warning: {result['warnings'][0]}\n")
    asked = json.loads(shell("ask", video, "x", *words, "--num-frames", 8).out)
    assert asked["num_frames"] == result["num_frames"]
    refused = shell("ask", video, "x", *words, "--representation", "8,64,1,2")
    assert refused.code == 2
    assert "V = 8,64,1,2 needs" in refused.err


@pytest.mark.parametrize("text", ["<image>", "<video>", "<|im_start|>", "<|im_end|><image>"])
def test_control_tokens_in_a_question_are_only_text(
    shell: Shell, small_checkpoint: Path, video: Path, text: str
) -> None:
    words = ["--model", small_checkpoint, "--max-new-tokens", 1, "--json"]
    plain = json.loads(shell("ask", video, "x", *words).out)
    result = json.loads(shell("ask", video, f"What is {text}?", *words).out)
    assert result["num_video_tokens"] == plain["num_video_tokens"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--representation", "nonsense"], "no representation is called 'nonsense'"),
        (["--representation", "8,64,0,2"], "slow_stride must be"),
        (["--representation", "0,64,1,2"], "max_frames must be"),
        (["--representation", "8,64,1,9"], "would keep no token"),
        (["--num-frames", "9"], "more frames than T = 8|frames are more than T = 8"),
        (["--num-frames", "0"], "0"),
        (["--fps", "-1"], "fps"),
        (["--device", "tpu9"], "'tpu9' is not a device"),
        (["--model", "/nowhere/at/all"], "no such directory"),
    ],
)
def test_bad_requests_are_one_line_and_code_two(
    shell: Shell, small_checkpoint: Path, video: Path, words: list[str], message: str
) -> None:
    done = shell("ask", video, "What?", "--model", small_checkpoint, *words)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("llava-video: ")
    assert done.err.count("\n") == 1
    assert any(part in done.err for part in message.split("|"))


def test_an_empty_question_is_refused(shell: Shell, video: Path) -> None:
    for question in ("", " \n"):
        done = shell("ask", video, question)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert "the question is empty" in done.err


def test_files_that_are_no_video(shell: Shell, small_checkpoint: Path, tmp_path: Path) -> None:
    text, empty, noise = (tmp_path / name for name in ("text.mp4", "empty.mp4", "noise.mp4"))
    text.write_text("This is a letter, not a film.\n" * 50)
    empty.touch()
    noise.write_bytes(bytes(range(256)) * 200)
    for path in (text, empty, noise, tmp_path / "missing.mp4"):
        done = shell("ask", path, "What?", "--model", small_checkpoint)
        assert done.code == 2
        assert str(path) in done.err
        assert done.err.count("\n") == 1


def test_debug_shows_the_traceback(shell: Shell, small_checkpoint: Path) -> None:
    with pytest.raises(LlavaVideoError):
        shell("--debug", "ask", "missing.mp4", "What?", "--model", small_checkpoint)


def test_several_videos_and_images_are_shown_together(
    shell: Shell, small_checkpoint: Path, video: Path, tmp_path: Path
) -> None:
    other = write_video(tmp_path / "other.mp4", num_frames=9)
    picture = tmp_path / "picture.png"
    Image.new("RGB", (40, 40), "green").save(picture)
    words = ["ask", video, picture, other, "What?", "--model", small_checkpoint]
    result = json.loads(shell(*words, "--num-frames", 4, "--max-new-tokens", 6, "--json").out)
    assert [seen["source"] for seen in result["videos"]] == [str(video), str(other)]
    model, processor = load(small_checkpoint)
    parts = [("video", video), ("image", picture), ("video", other), ("text", "What?")]
    content = [{"type": kind, kind: str(value)} for kind, value in parts]
    inputs = processor.apply_chat_template([{"role": "user", "content": content}], num_frames=4)
    output = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    assert result["answer"] == processor.decode_answer(output[0], inputs["input_ids"].shape[1])
    shown = shell(*words, "--max-new-tokens", 1).out
    assert f"video   {video}\nframes  8 at " in shown


def test_an_image_is_shown_as_an_image(
    shell: Shell, small_checkpoint: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    Image.new("RGB", (40, 40), "green").save(picture)
    words = ["--model", small_checkpoint, "--max-new-tokens", 1]
    assert json.loads(shell("ask", picture, "What?", *words, "--json").out)["videos"] == []
    assert "frames" not in shell("ask", picture, "What?", *words).out.partition("seconds")[0]


def test_a_span_keeps_the_times_of_the_whole_video(shell: Shell, video: Path) -> None:
    words = ["--num-frames", 3, "--max-new-tokens", 1, "--json"]
    done = shell("ask", video, "What?", *words, "--start", 0.8, "--end", 1.6)
    assert json.loads(done.out)["timestamps_seconds"] == [0.8, 1.16, 1.56]
    refused = shell("ask", video, "What?", "--start", 5, *words)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "beyond its end" in refused.err


def test_a_stream_ends_as_the_answer_does(shell: Shell) -> None:
    words = ["ask", SAMPLE, "Describe the video."]
    plain, streamed = shell(*words), shell(*words, "--stream")
    answer = plain.out.partition("\n\nmodel")[0]
    assert len(answer.split()) > 5
    assert streamed.out.partition("\n\nmodel")[0] == answer


def test_sampling_repeats_with_a_seed_and_stops_before_a_text(shell: Shell) -> None:
    words = ["ask", SAMPLE, "Describe the video.", "--temperature", 2, "--top-k", 50, "--json"]
    first, again, other = (
        json.loads(shell(*words, "--seed", seed).out)["answer"] for seed in (1, 1, 2)
    )
    assert first == again != other
    greedy = json.loads(shell("ask", SAMPLE, "Describe the video.", "--json").out)["answer"]
    stop = greedy.split()[3]
    cut = json.loads(shell("ask", SAMPLE, "Describe the video.", "--stop", stop, "--json").out)
    assert cut["answer"] == greedy.partition(stop)[0].rstrip()


def test_a_system_prompt_and_subtitles_reach_the_model(
    shell: Shell, small_checkpoint: Path, video: Path, tmp_path: Path
) -> None:
    subtitles = tmp_path / "a.srt"
    subtitles.write_text(
        "1\n00:00:00,000 --> 00:00:01,000\nHello\n\n2\n00:00:01,500 --> 00:00:01,900\nBye\n"
    )
    words = ["ask", video, "What?", "--model", small_checkpoint, "--max-new-tokens", 8, "--json"]
    options = ["--system", "Be brief.", "--subtitles", subtitles, "--start", 1.2]
    result = json.loads(shell(*words, *options).out)
    model, processor = load(small_checkpoint)
    frames = processor.sample_frames(video, start_seconds=1.2)
    text = "This video's subtitles are listed below:\nBye\nWhat?"
    content = [{"type": "video", "video": frames}, {"type": "text", "text": text}]
    inputs = processor.apply_chat_template(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    )
    output = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    assert result["answer"] == processor.decode_answer(output[0], inputs["input_ids"].shape[1])


def test_video_tokens_stay_within_their_limit_and_it_is_said(shell: Shell, video: Path) -> None:
    words = ["ask", video, "What?", "--max-new-tokens", 1, "--json", "--max-video-tokens"]
    planned = json.loads(shell("plan", "--model", "tiny", "--max-video-tokens", 50, "--json").out)[
        "pick"
    ]
    done = shell(*words, 50)
    result = json.loads(done.out)
    assert result["num_video_tokens"] == planned["num_video_tokens"] <= 50
    assert result["representation"].startswith(f"{planned['name']} ")
    assert f"at most {planned['num_video_tokens']} video tokens: V = " in done.err
    assert json.loads(shell(*words, 500).out)["num_video_tokens"] == 96
    refused = shell(*words, 1)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "allow more video tokens" in refused.err
    both = shell(*words, 50, "--representation", "6,64,1,2")
    assert "--representation or --max-video-tokens, not both" in both.err


def test_a_limit_is_of_all_videos_together(shell: Shell, video: Path) -> None:
    words = ["What?", "--max-new-tokens", 1, "--json", "--max-video-tokens", 100]
    result = json.loads(shell("ask", video, SAMPLE, *words).out)
    assert 0 < sum(seen["num_tokens"] for seen in result["videos"]) <= 100


def test_a_video_on_standard_input(
    shell: Shell, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["What?", "--max-new-tokens", 3, "--json"]
    expected = json.loads(shell("ask", video, *words).out)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(video.read_bytes())))
    result = json.loads(shell("ask", "-", *words).out)
    assert {**result, "seconds": {}} == {**expected, "seconds": {}}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    done = shell("ask", "-", *words)
    assert (done.code, done.err) == (
        2,
        "llava-video: standard input: is empty; fetch or record it again\n",
    )


def test_answers_in_a_file_name_their_video(shell: Shell, tmp_path: Path) -> None:
    done = shell("ask", "-", "What?", "--out", tmp_path / "answers.jsonl")
    assert done.code == 2
    assert "--out names the video of each answer, and - has none" in done.err


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['llava-video', {verb!r}, '--help']\n"
        "from llava_video.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {{'torch', 'av', 'numpy', 'PIL', 'prompt_toolkit'}} & set(sys.modules)"
    )
    for verb in ("ask", "chat"):
        subprocess.run([sys.executable, "-c", code.format(verb=verb)], check=True, timeout=60)


def test_why_says_which_frames_mattered(shell: Shell, video: Path) -> None:
    words = ["--why", "--num-frames", 5]
    done = shell("ask", SAMPLE, "In which direction does the ring move?", *words)
    assert done.code == 0, done.err
    _, _, why = done.out.partition("\nwhy  ")
    assert len(re.findall(r"^ +[\d.]+ s  (?:slow|fast) +[+-][\d.]+", why, re.MULTILINE)) == 5
    several = shell("ask", SAMPLE, video, "What happens?", *words).out.partition("\nwhy  ")[2]
    assert several.index(str(SAMPLE)) < several.index(str(video))


def test_long_videos_have_spans_of_several_frames(shell: Shell, video: Path) -> None:
    words = ["--representation", "40,64,3,2", "--why", "--max-new-tokens", 2]
    _, _, why = shell("ask", video, "What?", *words).out.partition("\nwhy  ")
    assert len(re.findall(r"^[\d.]+ to [\d.]+ s", why, re.MULTILINE)) == 20


def test_without_a_video_there_is_no_why(shell: Shell, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.new("RGB", (40, 40), "green").save(picture)
    done = shell("ask", picture, "What?", "--why")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "name a video" in done.err
