"""The cluster engine on two cores: the local engine's bytes, though a worker is killed."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from llava_video.annotate.run import run
from llava_video.calls.ledger import LedgerError, open_ledger
from tests.annotate.fake_endpoint import FakeEndpoint
from tests.annotate.running import outputs, recipe_for, run_quietly

ray = pytest.importorskip("ray", reason="needs the scale extra")


def is_ours(process):
    """Whether this process has started it, or one above it."""
    while process not in (0, os.getpid()):
        stat = Path(f"/proc/{process}/stat").read_text()
        process = int(stat.rpartition(")")[2].split()[1])
    return process == os.getpid()


def worker_processes():
    """Process ids of workers that annotate, of the cluster that runs here."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                name = (folder / "cmdline").read_bytes()
                if (
                    name.startswith(b"ray::")
                    and b"AnnotateWorker" in name
                    and is_ours(int(folder.name))
                ):
                    found.append(int(folder.name))
            except OSError:
                continue  # it has ended
    return found


def kill_one_worker(fake, killed):
    for _ in range(6000):
        if fake.num_requests >= 3 and (workers := worker_processes()):
            os.kill(workers[0], signal.SIGKILL)
            killed.append(workers[0])
            return
        time.sleep(0.01)


@pytest.fixture
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the worker to kill in /proc")
def test_ray_writes_what_the_local_engine_writes_though_a_worker_is_killed(
    videos, tmp_path, cluster
):
    with FakeEndpoint(delay_seconds=0.1) as fake:
        recipe = recipe_for(fake, endpoint__concurrency=2)
        run_quietly(videos, recipe, tmp_path / "local")
        num_calls = fake.num_requests
        fake.num_requests = 0
        killed = []
        killer = threading.Thread(target=kill_one_worker, args=(fake, killed), daemon=True)
        killer.start()
        result = run_quietly(videos, recipe, tmp_path / "ray", engine="ray")
        killer.join(10)
    assert killed
    assert result.stopped_by is None
    assert outputs(tmp_path / "ray") == outputs(tmp_path / "local")
    assert fake.num_requests == num_calls  # the answers that the dead worker waited for came too


def test_two_workers_with_one_question_pay_once(videos, tmp_path, cluster):
    copies = tmp_path / "copies"
    copies.mkdir()
    for name in "ab":
        shutil.copy(next(videos.rglob("*.mp4")), copies / f"{name}.mp4")
    with FakeEndpoint(delay_seconds=0.2) as fake:
        recipe = recipe_for(fake, endpoint__concurrency=4)
        run_quietly(copies, recipe, tmp_path / "local")
        num_calls = fake.num_requests
        result = run_quietly(copies, recipe, tmp_path / "ray", engine="ray")
    assert len(result.records) == 2
    assert fake.num_requests == 2 * num_calls
    assert outputs(tmp_path / "ray") == outputs(tmp_path / "local")


def kill_workers(request):
    for process in worker_processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers to kill in /proc")
def test_videos_whose_workers_keep_dying_are_left_to_the_next_run(videos, tmp_path, cluster):
    out = tmp_path / "ray"
    with FakeEndpoint(fail=kill_workers) as fake:
        recipe = recipe_for(fake, endpoint__concurrency=2)
        result = run_quietly(videos, recipe, out, engine="ray")
        assert result.stopped_by is None
        [died] = {r.detail for record in result.records for r in record.rejections}
        assert died.startswith("each of 3 Ray workers that took it up died")
        fake.fail = lambda request: None
        assert run_quietly(videos, recipe, out).stopped_by is None
        num_calls = fake.num_requests
        run_quietly(videos, recipe, tmp_path / "local")
    assert fake.num_requests == 2 * num_calls
    assert outputs(out) == outputs(tmp_path / "local")


def test_paths_and_variables_are_those_of_the_command(videos, tmp_path, cluster, monkeypatch):
    """The cluster began in another folder, and before the variable was set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OURS", "yes")
    with FakeEndpoint() as fake:
        recipe = recipe_for(fake, endpoint__headers={"x-ours": "${OURS}"})
        result = run_quietly(videos / "v0.mp4", recipe, Path("out"), engine="ray")
        assert {request.headers["x-ours"] for request in fake.received} == {"yes"}
    assert result.stopped_by is None
    assert open_ledger(tmp_path / "out").totals().num_calls == fake.num_requests > 0


def test_ctrl_c_waits_for_the_calls_in_flight_and_the_run_resumes(videos, tmp_path):
    out = tmp_path / "ray"
    with FakeEndpoint(delay_seconds=0.5) as fake:
        recipe = recipe_for(fake, endpoint__concurrency=2)
        recipe.write_to(tmp_path)
        command = (
            *(sys.executable, "-m", "llava_video", "annotate", "run", videos, "--out", out),
            *("--recipe", tmp_path / "recipe.yaml", "--engine", "ray"),
        )
        # As in a terminal: the signal goes to Ray's processes too.
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        while fake.num_requests < 3:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        assert process.returncode != 0
        assert "interrupted; run the same command again to resume" in said
        assert "Traceback" not in said
        before = fake.num_requests
        assert run_quietly(videos, recipe, out).stopped_by is None
        after = fake.num_requests
        run_quietly(videos, recipe, tmp_path / "local")
    assert after == fake.num_requests - after
    assert 3 <= before < after
    assert outputs(out) == outputs(tmp_path / "local")


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
    videos, tmp_path, capfd, cluster
):
    shown = io.StringIO()
    with FakeEndpoint(delay_seconds=0.2) as fake:
        recipe = recipe_for(fake, endpoint__concurrency=2)
        out = tmp_path / "ray"
        killed = []
        arguments = (fake, out / "ledger.sqlite", killed)
        killer = threading.Thread(target=kill_the_ledgers_actor, args=arguments, daemon=True)
        killer.start()
        result = run(
            [str(videos)], recipe, out, engine="ray", console=Console(file=shown, width=200)
        )
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
