"""The actor of a run without Ray: what its workers ask of it."""

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from llava_video.annotate.engines.run_actor import Failure, RunActor, Surroundings
from llava_video.annotate.recipe import load_recipe
from llava_video.calls.annotator import AttemptError
from llava_video.calls.caller import ENDS_THE_RUN
from llava_video.calls.ledger import LedgerError, SavedVideo
from llava_video.calls.messages import Reply, Request
from llava_video.errors import InputError, VideoError
from tests.annotate.fake_endpoint import FakeEndpoint
from tests.annotate.running import recipe_for

REQUEST = Request("level1", "a", "gpt-4o", "p", "Describe.", ("What is it?",), (), 100)


def make_actor(folder: Path, fake: FakeEndpoint, **changes: Any) -> RunActor:
    recipe = recipe_for(fake, **changes)
    around = Surroundings.of(recipe)
    return RunActor(str(folder / "ledger.sqlite"), recipe.model_dump(mode="json"), around)


def test_videos_are_reported_once_as_they_end(tmp_path: Path) -> None:
    async def run(actor: RunActor) -> list[dict[str, str]]:
        reported = []
        await actor.save_video(SavedVideo("a", 0, "done", "print", "{}"))
        await actor.save_video(SavedVideo("b", 1, "failed", "print", "{}"))
        reported.append((await actor.news())[1])
        await actor.save_video(SavedVideo("c", 2, "rejected", "print", "{}"))
        reported += [(await actor.news())[1], (await actor.news())[1]]
        assert (await actor.news())[0].num_calls == 0
        await actor.aclose()
        return reported

    with FakeEndpoint() as fake:
        reported = asyncio.run(run(make_actor(tmp_path, fake)))
    assert reported == [{"a": "done", "b": "failed"}, {"c": "rejected"}, {}]


def test_workers_that_ask_the_same_at_once_share_one_call(tmp_path: Path) -> None:
    async def run(actor: RunActor) -> list[Reply | Failure]:
        found = await asyncio.gather(*(actor.call(REQUEST) for _ in range(3)))
        assert (await actor.news())[0].num_calls == 1
        await actor.aclose()
        return found

    with FakeEndpoint(delay_seconds=0.05) as fake:
        first, *others = asyncio.run(run(make_actor(tmp_path, fake)))
    assert fake.num_requests == 1
    assert isinstance(first, Reply)
    assert others == [first, first]


def test_a_ledger_that_cannot_be_written_is_an_error_of_the_run(tmp_path: Path) -> None:
    async def run(actor: RunActor) -> Failure | None:
        database = sqlite3.connect(tmp_path / "ledger.sqlite")
        database.execute("DROP TABLE videos")
        database.close()
        return await actor.save_video(SavedVideo("a", 0, "done", "print", "{}"))

    with FakeEndpoint() as fake:
        found = asyncio.run(run(make_actor(tmp_path, fake)))
    assert found is not None
    assert isinstance(found.to_error(), LedgerError)
    assert "cannot be written" in found.message


def test_nothing_is_sent_after_a_stop(tmp_path: Path) -> None:
    async def run(actor: RunActor) -> Reply | Failure:
        await actor.stop("interrupted")
        found = await actor.call(REQUEST)
        await actor.aclose()
        return found

    with FakeEndpoint() as fake:
        found = asyncio.run(run(make_actor(tmp_path, fake)))
    assert found == Failure("InterruptedRunError", "interrupted")
    assert fake.num_requests == 0


def test_errors_of_a_video_stay_those_of_a_video(tmp_path: Path) -> None:
    async def run(actor: RunActor) -> Reply | Failure:
        found = await actor.call(REQUEST)
        await actor.aclose()
        return found

    with FakeEndpoint() as fake:
        found = asyncio.run(run(make_actor(tmp_path, fake, endpoint__model="toy")))
    assert isinstance(found, Failure)
    assert isinstance(found.to_error(), InputError)
    assert "the toy annotator knows toyworld's only" in found.message


def test_a_process_elsewhere_takes_the_folder_and_the_variables_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "command").mkdir()
    monkeypatch.chdir(tmp_path / "command")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("ORGANISATION", "ours")
    recipe = load_recipe("open", ['endpoint.headers={"x-org": "${ORGANISATION}"}'])
    around = Surroundings.of(recipe)
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "ORGANISATION"):
        monkeypatch.delenv(name)
    around.take()
    assert Path.cwd() == tmp_path / "command"
    assert (os.environ["OPENAI_API_KEY"], os.environ["ORGANISATION"]) == ("secret", "ours")
    Surroundings(str(tmp_path / "not here"), {}).take()
    assert Path.cwd() == tmp_path / "command"


@pytest.mark.parametrize("kind", [*ENDS_THE_RUN, InputError, VideoError])
def test_what_ends_a_run_keeps_its_type_between_processes(kind: type[Exception]) -> None:
    class Own(kind):  # type: ignore[misc, valid-type]
        pass

    found = Failure.of(Own("a reason")).to_error()
    assert (type(found), str(found)) == (kind, "a reason")


def test_a_call_without_an_answer_stays_one() -> None:
    found = Failure.of(AttemptError("refused", "400", is_transient=False)).to_error()
    assert (type(found), str(found)) == (AttemptError, "refused")
