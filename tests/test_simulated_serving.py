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
    server = simulated.Server(0.1, 0.3, 0.2)
    assert simulated.simulate(server, 1, 50) == pytest.approx(1 / 0.6)


def test_many_clients_fill_the_batches(simulated: Any) -> None:
    """The engine is never idle, and every batch is full."""
    server = simulated.Server(0.001, 0.4, 0.1, batch_rows=16)
    assert simulated.simulate(server, 64, 6400) == pytest.approx(16 / (0.4 + 1.6), rel=0.02)


def test_without_batches_clients_wait_in_a_queue(simulated: Any) -> None:
    server = simulated.Server(0.0, 0.2, 0.3, batch_rows=1)
    for clients in (1, 4, 16):
        assert simulated.simulate(server, clients, 64) == pytest.approx(1 / 0.5)


def test_reading_files_is_the_bound_where_it_is_slow(simulated: Any) -> None:
    server = simulated.Server(1.0, 0.01, 0.001, media_workers=2)
    assert simulated.simulate(server, 32, 640) == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize(("fixed", "row"), [(0.3, 0.05), (0.1, 0.2), (0.5, 0.01)])
def test_a_fitted_server_is_the_one_that_was_measured(
    simulated: Any, fixed: float, row: float
) -> None:
    true = simulated.Server(0.02, fixed, row)
    rates = [simulated.simulate(true, clients, 64) for clients in (1, 4)]
    fitted = simulated.fit(rates[0], 0.02, rates[1], 64, 16)
    for clients in (16, 64):
        assert simulated.simulate(fitted, clients, 128) == pytest.approx(
            simulated.simulate(true, clients, 128), rel=0.02
        )
