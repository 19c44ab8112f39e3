"""`KeptModel` answers as `LocalModel` does, from a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import llava_video as lv
from llava_video.chat.keep.client import KeptModel
from llava_video.chat.keep.place import ModelKey, Place, private_folder
from llava_video.chat.keep.start import BrokenOffError
from llava_video.chat.keep.status import KeptStatus, kept_models
from llava_video.chat.model_request import ModelRequest, load_requested
from llava_video.chat.protocol import Answered, AnswerOptions, Piece, Sampling, answer_one
from llava_video.errors import CheckpointError, InputError, RepresentationError, VideoError
from llava_video.representation import parse_representation
from tests.chat.fresh import user, video
from tests.chat.keep.processes import start_other, wait_until

SAMPLES = Path(lv.__file__).parent / "assets" / "samples"
FIRST, SECOND = SAMPLES / "three_shapes.mp4", SAMPLES / "two_movers.mp4"
DIRECTION = [user(video(FIRST), "In which direction does the ring move?")]
NUMBER = [user(video(FIRST), "How many shapes are there?")]
TINY = ModelRequest("tiny", "cpu")
SAID: list[str] = []


def kept(request: ModelRequest = TINY, keep_seconds: float | None = 120.0) -> KeptModel:
    SAID.clear()
    model = KeptModel.open(request, keep_seconds, SAID.append)
    assert model is not None
    return model


def status_of(model: str | Path) -> KeptStatus:
    (found,) = (status for status in kept_models() if status.model == str(model))
    return found


@pytest.fixture(scope="module")
def local() -> lv.LocalModel:
    return lv.LocalModel.load("tiny", device="cpu")


@pytest.fixture
def small(folder: Path, small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights, whose answers have no end."""
    copy = folder.parent / "small"
    if not copy.exists():
        shutil.copytree(small_checkpoint, copy)
    return copy


@pytest.fixture(autouse=True)
def sockets(folder: Path) -> Iterator[None]:
    yield


def everything(model: lv.ChatModel, *rows: object, options: AnswerOptions) -> list[object]:
    """Pieces and answers, without what depends on the clock and on what was kept."""
    pieces = model.answer(rows, options)  # type: ignore[arg-type]
    return [
        replace(piece, seconds={}, usage=piece.usage.num_new_tokens, warnings=())  # type: ignore[arg-type]
        if isinstance(piece, Answered)
        else piece
        for piece in pieces
    ]


@pytest.mark.parametrize(
    "options",
    [
        AnswerOptions(),
        AnswerOptions(temperature=0.8, top_k=20, seed=3, max_new_tokens=12),
        AnswerOptions(stop=("i",), sampling=Sampling(num_frames=5, start_seconds=1.0)),
        AnswerOptions(representation=parse_representation("6,64,1,2")),
    ],
)
def test_it_answers_as_the_model_here(local: lv.LocalModel, options: AnswerOptions) -> None:
    model = kept()
    both = [user(video(FIRST), video(SECOND), "Describe the videos.")]
    assert everything(model, DIRECTION, both, options=options) == everything(
        local, DIRECTION, both, options=options
    )
    assert (model.name, model.device) == ("tiny", "cpu")
    assert model.precision == local.precision
    assert model.representation == local.representation
    assert model.fit_representation("6,64,1,2") == local.fit_representation("6,64,1,2")


def test_a_second_question_loads_and_decodes_nothing() -> None:
    answer_one(kept(), DIRECTION)
    wait_until(lambda: status_of("tiny").held_bytes > 5 << 20)
    answered = answer_one(kept(), NUMBER)
    assert answered.text == "3"
    assert (answered.usage.num_frames_decoded, answered.usage.num_frames_encoded) == (0, 0)
    assert answered.usage.num_tokens_prefilled < 40 < answered.usage.num_prompt_tokens


def test_a_new_shell_imports_no_torch_and_prints_the_same(small: Path, tmp_path: Path) -> None:
    shutil.copy(FIRST, tmp_path / "clip.mp4")
    code = (
        "import sys; from llava_video.cli.app import main; sys.argv[0] = 'llava-video'; main()\n"
        "print(*(name for name in ('torch', 'transformers', 'numpy', 'av') if name in sys.modules))"
    )

    def ask(keep: str, *words: str) -> str:
        command = [
            sys.executable,
            "-c",
            code.replace("main()\n", "\ntry: main()\nexcept SystemExit: pass\n"),
        ]
        question = ["ask", "clip.mp4", "How many shapes are there?", "--device", "cpu"]
        environment = {**os.environ, "LLAVA_VIDEO_KEEP": keep}
        done = subprocess.run(
            [*command, *question, *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        return done.stdout

    def without_seconds(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith("seconds")][:-1]

    plain, first = ask("0"), ask("5m")
    assert plain.splitlines()[-1] == "torch transformers numpy av"
    assert first.splitlines()[-1] == ""
    assert without_seconds(first) == without_seconds(plain)
    assert first.splitlines()[0] == "3"
    as_json = json.loads(ask("5m", "--json").splitlines()[0])
    assert as_json["seconds"].keys() == {
        "processor", "frames", "weights", "prepare", "vision", "answer"
    }  # fmt: skip
    why = ask("5m", "--why")
    assert (
        len([line for line in why.splitlines() if " s  slow" in line or " s  fast" in line]) == 12
    )


def test_influence_is_that_of_the_model_here(local: lv.LocalModel) -> None:
    wanted = local.influence(DIRECTION, "left", span_frames=3)
    found = kept().influence(DIRECTION, "left", span_frames=3)
    assert found.log_probability == pytest.approx(wanted.log_probability, abs=1e-3)
    assert [span.influence for span in found.spans] == [
        pytest.approx(span.influence, abs=1e-3) for span in wanted.spans
    ]


def test_media_are_loaded_ahead() -> None:
    model, options = kept(), AnswerOptions(sampling=Sampling(num_frames=7))
    conversation = [user(video(SECOND), "What moves?")]
    model.load_ahead([conversation], options, encode=True)
    # The one loader has done its first work before it takes this.
    model.load_ahead([conversation], options)
    assert answer_one(model, conversation, options).usage.num_frames_decoded == 0


def test_errors_are_those_of_the_model_here(
    local: lv.LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.mp4").write_text("no video")
    model = kept()
    for source, kind in (("gone.mp4", VideoError), ("bad.mp4", VideoError)):
        conversation = [user(video(source), "What?")]
        with pytest.raises(kind) as here:
            answer_one(local, conversation)
        with pytest.raises(kind) as there:
            answer_one(model, conversation)
        assert str(there.value) == str(here.value)
    with pytest.raises(RepresentationError, match="would keep no token"):
        model.fit_representation("6,64,1,9")
    with pytest.raises(InputError, match="takes files and addresses, not Frames"):
        answer_one(model, [user(video(lv.read_video(FIRST, num_frames=2)), "What?")])
    pid = status_of("tiny").pid
    with pytest.raises(RepresentationError, match="does not fit this model"):
        kept(replace(TINY, representation="6,81,1,2"))
    assert status_of("tiny").pid == pid


def test_a_model_that_cannot_be_loaded_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        kept(ModelRequest(str(tmp_path), "cpu"))
    wait_until(lambda: all(status.model != str(tmp_path) for status in kept_models()))


def test_a_model_that_is_not_there_starts_no_process() -> None:
    with pytest.raises(CheckpointError, match=r"^lab/nothing: "):
        kept(ModelRequest("lab/nothing", "cpu"))
    assert all(status.model != "lab/nothing" for status in kept_models())


def test_settings_of_a_request_are_its_own() -> None:
    kept()  # a process that starts says so
    SAID.clear()
    most = kept(replace(TINY, max_video_tokens=60))
    assert [line.startswith("at most ") for line in SAID] == [True]
    (shown,) = answer_one(most, NUMBER).videos
    assert shown.num_tokens <= 60
    assert answer_one(kept(), NUMBER).videos[0].num_tokens == 96
    with pytest.raises(InputError, match="not both"):
        ModelRequest("tiny", "cpu", representation="6,64,1,2", max_video_tokens=60)


def test_one_that_is_there_is_used_without_being_asked_for() -> None:
    assert KeptModel.open(ModelRequest("tiny", "auto"), None, SAID.append) is None
    pid = kept().name and status_of("tiny").pid
    found = KeptModel.open(TINY, None, SAID.append)
    assert found is not None
    assert answer_one(found, NUMBER).text == "3"
    assert status_of("tiny").pid == pid


def test_closing_an_answer_ends_it_and_the_next_one_comes(small: Path) -> None:
    model = kept(ModelRequest(str(small), "cpu"))
    pieces = model.answer([NUMBER], AnswerOptions(max_new_tokens=100_000))
    assert isinstance(next(pieces), Piece)
    wait_until(lambda: status_of(small).is_busy)
    pieces.close()  # type: ignore[attr-defined]
    wait_until(lambda: not status_of(small).is_busy)
    assert answer_one(model, NUMBER, AnswerOptions(max_new_tokens=2)).usage.num_new_tokens == 2


def test_two_clients_at_once_are_answered_one_after_the_other(local: lv.LocalModel) -> None:
    texts: dict[str, str] = {}

    def ask(name: str, conversation: object) -> None:
        texts[name] = answer_one(kept(), conversation).text  # type: ignore[arg-type]

    pairs = {"direction": DIRECTION, "number": NUMBER}
    threads = [threading.Thread(target=ask, args=pair) for pair in pairs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {name: answer_one(local, talk).text for name, talk in pairs.items()}


def test_a_checkpoint_that_has_changed_is_loaded_again(small: Path) -> None:
    request = ModelRequest(str(small), "cpu", num_new_tokens=3)
    before = answer_one(kept(request), NUMBER, AnswerOptions(max_new_tokens=3))
    pid = status_of(small).pid
    weights = small / "model.safetensors"
    shutil.copy(weights, small / "other")
    (small / "other").rename(weights)
    model = kept(request)
    assert [f"{small}: has changed on disk, and is loaded again"] == SAID
    after = answer_one(model, NUMBER, AnswerOptions(max_new_tokens=3))
    assert after.usage.num_frames_decoded > 0  # it has kept nothing of the old ones
    assert after.text == before.text
    assert status_of(small).pid == pid


def test_a_kill_in_the_middle_is_one_line_and_the_next_question_starts_anew(small: Path) -> None:
    model = kept(ModelRequest(str(small), "cpu"))
    pieces = model.answer([NUMBER], AnswerOptions(max_new_tokens=100_000))
    next(pieces)
    pid = status_of(small).pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(BrokenOffError, match=rf"^the kept model broke off \(process {pid} was "):
        list(pieces)
    assert answer_one(model, NUMBER, AnswerOptions(max_new_tokens=2)).usage.num_new_tokens == 2
    assert status_of(small).pid != pid


def test_a_model_that_does_not_fit_beside_another_ends_that_one(small: Path) -> None:
    kept(ModelRequest(str(small), "cpu"))
    made = private_folder(make=True)
    assert made is not None
    first = Place.of(made, ModelKey.of(ModelRequest(str(small), "cpu")))
    key = ModelKey.of(ModelRequest("tiny", "CPU"))
    place = Place.of(made, key)
    if (pid := place.holder()) is not None:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not place.is_held())
    place.socket.unlink(missing_ok=True)
    start_other(place, key, "memory", first.lock)
    model = kept()
    assert f"{small}: is not kept any more, its memory was needed" in SAID
    assert not first.is_held()
    (shown,) = answer_one(model, NUMBER).videos
    assert shown.representation == str(load_requested(TINY)[0].representation)
