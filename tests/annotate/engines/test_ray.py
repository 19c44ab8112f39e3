"""The cluster engine on two cores: the local engine's bytes, though a worker is killed."""

import io
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from llava_video.annotate.run import run
from llava_video.calls.ledger import LedgerError
from tests.annotate.fake_endpoint import FakeEndpoint
from tests.annotate.running import outputs, recipe_for, run_quietly

ray = pytest.importorskip("ray", reason="needs the scale extra: pip install 'llava-video[scale]'")


def processes_connected_to(port):
    """Process ids, this one's aside, that hold a connection to a port of this machine."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if int(row[2].split(":")[1], 16) == port}
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                links = {str(link.readlink()) for link in (folder / "fd").iterdir()}
            except OSError:
                continue  # it has ended
            if links & sockets:
                found.append(int(folder.name))
    return found


def kill_one_worker(fake, killed):
    for _ in range(6000):
        if fake.num_requests >= 3 and (workers := processes_connected_to(fake.port)):
            os.kill(workers[0], signal.SIGKILL)
            killed.append(workers[0])
            return
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the worker to kill in /proc")
def test_ray_writes_what_the_local_engine_writes_though_a_worker_is_killed(videos, tmp_path):
    with FakeEndpoint(delay_seconds=0.1) as fake:
        recipe = recipe_for(fake, endpoint__concurrency=2)
        run_quietly(videos, recipe, tmp_path / "local")
        num_calls = fake.num_requests
        fake.num_requests = 0
        killed = []
        killer = threading.Thread(target=kill_one_worker, args=(fake, killed), daemon=True)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            killer.start()
            result = run_quietly(videos, recipe, tmp_path / "ray", engine="ray")
        finally:
            ray.shutdown()
        killer.join(10)
    assert killed
    assert result.stopped_by is None
    assert outputs(tmp_path / "ray") == outputs(tmp_path / "local")
    # What was in flight in the killed worker is asked again; what had been committed is not.
    assert num_calls <= fake.num_requests <= num_calls + 1


def kill_the_ledgers_actor(fake, path, killed):
    for _ in range(6000):
        if fake.num_requests >= 3 and (holders := processes_that_hold(path)):
            os.kill(holders[0], signal.SIGKILL)
            killed.append(holders[0])
            return
        time.sleep(0.01)


def processes_that_hold(path):
    """Process ids, this one's aside, that have a file open."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                links = {str(link.readlink()) for link in (folder / "fd").iterdir()}
            except OSError:
                continue  # it has ended
            if str(path) in links:
                found.append(int(folder.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the actor to kill in /proc")
def test_when_the_ledgers_actor_is_killed_one_line_says_so_and_the_run_resumes(
    videos, tmp_path, capfd
):
    shown = io.StringIO()
    with FakeEndpoint(delay_seconds=0.2) as fake:
        recipe = recipe_for(fake, endpoint__concurrency=2)
        out = tmp_path / "ray"
        killed = []
        arguments = (fake, out / "ledger.sqlite", killed)
        killer = threading.Thread(target=kill_the_ledgers_actor, args=arguments, daemon=True)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            killer.start()
            result = run(
                [str(videos)], recipe, out, engine="ray", console=Console(file=shown, width=200)
            )
        finally:
            ray.shutdown()
        killer.join(10)
        assert killed
        assert isinstance(result.stopped_by, LedgerError)
        assert "the Ray actor that holds the ledger is gone" in str(result.stopped_by)
        assert "\n" not in str(result.stopped_by)
        assert "Traceback" not in "".join(capfd.readouterr())
        assert run_quietly(videos, recipe, out).stopped_by is None
        run_quietly(videos, recipe, tmp_path / "local")
    assert outputs(out) == outputs(tmp_path / "local")
    assert "videos waiting" in shown.getvalue()
