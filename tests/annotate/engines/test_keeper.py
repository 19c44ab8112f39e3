"""The ledger's actor without Ray: it tells what has ended since it was last asked."""

import asyncio

from llava_video.annotate.engines.ray import LedgerKeeper


def test_videos_are_told_once_as_they_end(tmp_path) -> None:  # type: ignore[no-untyped-def]
    async def run() -> list[dict[str, str]]:
        keeper = LedgerKeeper(str(tmp_path / "ledger.sqlite"), None)
        told = []
        await keeper.save_video("a", 0, "done", "print", "{}", is_unanswered=False)
        await keeper.save_video("b", 1, "failed", "print", "{}", is_unanswered=False)
        told.append((await keeper.news())[1])
        await keeper.save_video("c", 2, "rejected", "print", "{}", is_unanswered=False)
        told += [(await keeper.news())[1], (await keeper.news())[1]]
        assert (await keeper.news())[0].num_calls == 0
        await keeper.aclose()
        return told

    assert asyncio.run(run()) == [{"a": "done", "b": "failed"}, {"c": "rejected"}, {}]
