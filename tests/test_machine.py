import getpass
import platform
import sys

import msgspec
import pytest

from torchport.system import machine


def test_describes_this_machine_and_nothing_of_its_owner():
    here = machine.describe()
    assert here.cpu
    assert 1 <= here.usable_cores <= here.logical_cores
    assert here.memory_bytes is None or here.memory_bytes > 2**28
    text = msgspec.json.encode(here).decode()
    assert msgspec.json.decode(text, type=machine.Machine) == here
    assert sys.prefix not in text
    for private in (platform.node(), getpass.getuser()):
        assert len(private) < 5 or private not in text


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)

    def write(path, text):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return tmp_path

    return write


def test_without_a_quota_affinity_decides(root):
    assert machine.usable_cores(root("proc/self/cgroup", "0::/\n")) == 8


def test_cgroup_two_takes_the_least_of_the_branch(root):
    root("proc/self/cgroup", "0::/pod/box\n")
    root("sys/fs/cgroup/pod/cpu.max", "250000 100000\n")
    assert machine.usable_cores(root("sys/fs/cgroup/pod/box/cpu.max", "max 100000\n")) == 2


def test_cgroup_two_mounted_at_the_container(root):
    root("proc/self/cgroup", "0::/not/visible/here\n")
    assert machine.usable_cores(root("sys/fs/cgroup/cpu.max", "50000 100000\n")) == 1


def test_cgroup_one(root):
    root("proc/self/cgroup", "5:memory:/a\n4:cpu,cpuacct:/a\n")
    root("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "400000\n")
    assert machine.usable_cores(root("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n")) == 4
    assert machine.usable_cores(root("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n")) == 8


def test_flags_become_instruction_sets(tmp_path):
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nmodel name\t: other\n"
    )
    assert machine._cpuinfo(tmp_path / "cpuinfo") == {"processor": "0", "model name": "Some CPU", "flags": "fpu avx2"}
    assert machine._cpuinfo(tmp_path / "absent") == {}
