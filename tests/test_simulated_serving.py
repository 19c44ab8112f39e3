"""The simulated server of benchmarks/scale/clients.py against what can be worked out."""

import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks" / "scale"


@pytest.fixture(scope="module")
def simulated() -> Any:
    pytest.importorskip("httpx2")
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import clients

        yield clients
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_one_client_waits_for_its_own_request(simulated: Any) -> None:
    server = simulated.Server(0.1, 0.2, 0.02, 0.01)
    assert simulated.simulate(server, [10], 1, 50) == pytest.approx(1 / (0.1 + 0.2 + 0.3))


def test_many_clients_fill_the_batches(simulated: Any) -> None:
    """The engine is never idle, and every batch is full."""
    server = simulated.Server(0.001, 0.01, 0.02, 0.001, batch_rows=16)
    seconds = 16 * 0.01 + 10 * (0.02 + 16 * 0.001)
    assert simulated.simulate(server, [10], 64, 6400) == pytest.approx(16 / seconds, rel=0.02)


def test_a_batch_is_as_long_as_its_longest_answer(simulated: Any) -> None:
    """Of 16 answers, of which half have 20 tokens, one has 20 but for one time in 65,536."""
    server = simulated.Server(0.0, 0.0, 0.01, 0.0, batch_rows=16, media_workers=64)
    found = simulated.simulate(server, [1, 20], 64, 6400)
    assert found == pytest.approx(16 / (20 * 0.01), rel=0.02)


def test_without_batches_clients_wait_in_a_queue(simulated: Any) -> None:
    server = simulated.Server(0.0, 0.2, 0.02, 0.01, batch_rows=1)
    for clients in (1, 4, 16):
        assert simulated.simulate(server, [10], clients, 64) == pytest.approx(1 / 0.5)


def test_reading_files_is_the_bound_where_it_is_slow(simulated: Any) -> None:
    server = simulated.Server(1.0, 0.001, 0.001, 0.0, media_workers=2)
    assert simulated.simulate(server, [2], 32, 640) == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize(("step", "row"), [(0.03, 0.005), (0.01, 0.02), (0.05, 0.001)])
def test_a_fitted_server_is_the_one_that_was_measured(
    simulated: Any, step: float, row: float
) -> None:
    true = simulated.Server(0.02, 0.03, step, row)
    lengths = [3, 5, 5, 20]
    alone = simulated.Server(0.02, 0.03, step + row, 0.0)
    fitted = simulated.fit(alone, lengths, simulated.simulate(true, lengths, 16, 64), 64)
    for clients in (4, 64):
        assert simulated.simulate(fitted, lengths, clients, 128) == pytest.approx(
            simulated.simulate(true, lengths, clients, 128), rel=0.02
        )
