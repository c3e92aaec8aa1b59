"""Real child processes, on a target that a third party brings by an entry point and whose files say how to behave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from torchport.timing import ForkServer, Job, ahead, measure, memory, summarise, thread_counts
from torchport.types import Artifact, GraphFile, Signature, TensorIO, TensorSpec

PLUGIN = """
import os, signal, sys, time
import numpy as np
from torchport.errors import RunError
from torchport.targets.base import Runner, Target
from torchport.types import Used

class ActorRunner(Runner):
    def _open(self, path):
        self.says, _, rest = path.read_text().partition(" ")
        os.write(1, b"native noise on standard output\\n")
        print("more of it")
        if self.says == "refuse":
            raise RunError("the file is refused", "make another")
        if self.says == "weigh":
            spike = np.ones(int(rest), np.uint8)
            del spike
        self.runs = 0
        self.used = Used(library="actor", version="1", threads=self.threads)

    def _run(self, feed):
        self.runs += 1
        if self.says == "crash" and self.runs > 1:
            os.write(2, b"the last words\\n")
            os.kill(os.getpid(), signal.SIGKILL)
        if self.says == "leave":
            os._exit(7)
        if self.says == "hang":
            time.sleep(3600)
        if self.says == "raise":
            raise ValueError("a runtime's own exception")
        return {"y": feed["x"] * 2}

class Actor(Target):
    name, suffix, module, packages, runner = "actor", "txt", "numpy", ("torchport",), ActorRunner

    def _export(self, *args):
        raise NotImplementedError
"""

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", dtype="float32", shape=(1, 3)),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=(1, 3)),),
)
pytestmark = pytest.mark.usefixtures("timed")

LINUX = Path("/proc/self/clear_refs").exists()


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Makes a job whose child behaves as the text says."""
    plugin = tmp_path / "plugin"
    info = plugin / "actor-1.dist-info"
    info.mkdir(parents=True)
    (plugin / "actor_target.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: actor\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[torchport.targets]\nactor = actor_target:Actor\n")
    monkeypatch.setenv("PYTHONPATH", str(plugin))
    feed = tmp_path / "feed.safetensors"
    save_file({"x": np.ones((1, 3), np.float32)}, str(feed))

    def make(says: str, threads: int | None = 1, target: str = "actor") -> Job:
        name = says.replace(" ", "-")
        folder = tmp_path / "with a space é" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.txt").write_text(says)
        io = {name: TensorIO(name=name, dtype="float32") for name in "xy"}
        artifact = Artifact(
            target=target,
            recipe="fp32",
            precision="fp32",
            graphs={"model": GraphFile(entry="model.txt", files=("model.txt",), io=io)},
        )
        return Job(
            id=name, target=target, artifact=artifact, folder=folder, signature=SIGNATURE, feed=feed, threads=threads
        )

    return make


def test_times_weighs_and_reports_what_ran(job, tmp_path):
    told, log = [], tmp_path / "log.txt"
    found = measure([job("answer"), job("answer", 2)], rounds=3, seconds=0.05, progress=told.append, log=log)
    assert list(found) == [("answer", 1), ("answer", 2)]
    for (_, threads), one in found.items():
        assert one.error is None
        assert len(one.timing.rounds) == 3
        assert 0 < one.timing.median <= one.timing.p90
        assert one.used.library == "actor"
        assert one.used.threads == threads
        assert (one.memory_bytes is not None) == LINUX
    assert any("opening answer, 2 threads" in line for line in told)
    assert "native noise on standard output" in log.read_text()


@pytest.mark.skipif(not LINUX, reason="memory is read from /proc")
def test_memory_is_the_peak_not_what_is_left(job):
    megabyte = 2**20
    found = measure([job(f"weigh {64 * megabyte}"), job("answer")], rounds=1, seconds=0.01)
    heavy, light = (one.memory_bytes for one in found.values())
    assert light < 8 * megabyte
    assert 60 * megabyte < heavy < 80 * megabyte


def test_one_that_fails_stops_nobody(job):
    bad = [job(says) for says in ("refuse", "crash", "leave", "raise")] + [job("elsewhere", target="nowhere")]
    found = measure([*bad[:2], job("answer"), *bad[2:]], rounds=2, seconds=0.02)
    errors = {name: one.error for (name, _), one in found.items()}
    assert errors["answer"] is None
    assert found["answer", 1].timing is not None
    assert all(found[one.key].timing is None for one in bad)
    assert "the file is refused; make another" in errors["refuse"]
    assert "crashed (SIGKILL)" in errors["crash"]
    assert "the last words" in errors["crash"]
    assert "crashed (exit 7)" in errors["leave"]
    assert "a runtime's own exception" in errors["raise"]
    assert "no target 'nowhere'" in errors["elsewhere"]


def test_one_that_hangs_is_ended_and_said(job):
    start = time.monotonic()
    found = measure([job("hang"), job("answer")], rounds=1, seconds=0.01, limit_s=4)
    assert time.monotonic() - start < 60
    assert "no answer in 4 s while opening" in found["hang", 1].error
    assert found["answer", 1].timing is not None


def test_short_of_memory_jobs_are_timed_in_groups(job, monkeypatch):
    monkeypatch.setattr(memory, "left_share", lambda: 0.0)
    told = []
    found = measure([job("answer"), job("answer", 2)], rounds=1, seconds=0.01, progress=told.append)
    assert all(one.timing for one in found.values())
    assert sum(line.startswith("starting") for line in told) == 2


def test_no_child_outlives_the_measurement(job):
    def stop(words):
        if words.startswith("timing"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure([job("answer")], rounds=1, seconds=0.01, progress=stop)
    if LINUX:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        assert not [child for child in children if "torchport.timing" in Path(f"/proc/{child}/cmdline").read_text()]


@pytest.mark.skipif(not LINUX, reason="elsewhere children are never stopped")
def test_a_stopped_child_dies_with_its_parent():
    script = """
import os, signal
from torchport.timing import protocol
from torchport.timing.process import Process
from torchport.errors import RunError
child = Process(limit_s=60)
try:
    child.ask(protocol.Turn(1), protocol.Times, "starting")
except RunError:
    child.rest()
print(child._child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == -signal.SIGKILL
    orphan = Path(f"/proc/{said.stdout.strip()}")
    until = time.monotonic() + 10
    while orphan.exists() and "State:\tZ" not in (orphan / "status").read_text() and time.monotonic() < until:
        time.sleep(0.01)
    assert time.monotonic() < until


def test_nothing_to_measure():
    assert measure([]) == {}


def test_two_jobs_of_one_name_are_a_mistake(job):
    with pytest.raises(AssertionError, match="differ"):
        measure([job("answer"), job("answer")])


@pytest.mark.parametrize(("usable", "counts"), [(1, [1]), (2, [1, 2]), (4, [1, 4]), (8, [1, 4, 8]), (64, [1, 32, 64])])
def test_thread_counts(usable, counts):
    assert thread_counts(usable) == counts


def test_summary_of_raw_times():
    timing = summarise([[1.0, 1.0, 9.0], [1.1, 1.1, 1.1], [0.9, 0.9, 0.9], [5.0, 5.0, 5.0]])
    assert timing.median == pytest.approx(1.1)
    assert timing.p90 == 5.0
    assert timing.noise == pytest.approx(1.4826 * 0.1 / 1.1)
    assert timing.rounds[0] == (1.0, 1.0, 9.0)
    assert summarise([[2.0, 2.0], [2.0]]).noise == 0.0


def test_jobs_of_a_runtime_are_forked_from_the_process_that_imported_it(job):
    with ForkServer("actor") as server:
        found = measure([job("answer"), job("answer", 2)], rounds=2, seconds=0.01, ahead=server)
        assert all(one.timing is not None for one in found.values())
        again = measure([job("answer")], rounds=2, seconds=0.01, ahead=server)["answer", 1]
        assert again.timing is not None and again.used is not None
        crashed = measure([job("crash"), job("answer")], rounds=1, seconds=0.01, ahead=server)
        assert "crashed (SIGKILL)" in crashed["crash", 1].error
        assert crashed["answer", 1].timing is not None


@pytest.mark.slow
def test_a_runtime_is_imported_once_for_its_user_and_its_timing_processes():
    """In a process that has not imported it, and prints to a pipe, which a copy must not print to as well."""
    program = """
import sys
from torchport.timing import ahead
sys.stdout.write("once ")
with ahead("mobile") as server:
    assert "torch" in sys.modules
    child = server.fork(sys.stderr.buffer, 60)
    child.communicate()
    assert child.wait() == 0, child.wait()
print("and for all")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "once and for all\n", "")


def test_where_the_runtime_cannot_be_imported_ahead_a_fresh_process_says_why(job):
    with ForkServer("actor") as server:
        server.__exit__()
        assert measure([job("answer")], rounds=1, seconds=0.01, ahead=server)["answer", 1].timing is not None


def test_without_fork_every_job_has_a_fresh_process(job, monkeypatch):
    monkeypatch.setenv("TORCHPORT_START", "spawn")
    with ahead("actor") as server:
        assert server is None
        found = measure([job("answer"), job("answer", 2)], rounds=1, seconds=0.01, ahead=server)
        assert all(one.timing is not None for one in found.values())
