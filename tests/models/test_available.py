"""Memory and cores that the process may use, on machines that are made of files."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plait.models import available_memory
from plait.models._available import linux_memory, vm_stat_memory
from plait.models._cores import Cores, available_cores, linux_cores

GROUPS = "sys/fs/cgroup"
MEMINFO = "MemTotal:       16000 kB\nMemFree:          100 kB\nMemAvailable:    8000 kB\n"
KB = 1024
Lay = Callable[[dict[str, str]], Path]


@pytest.fixture
def lay(tmp_path: Path) -> Lay:
    """Lays a machine's files under a folder."""

    def make(files: dict[str, str]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path

    return make


def second_version(group: str, **files: str) -> dict[str, str]:
    return {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/a/b\n"} | {
        f"{GROUPS}{group}/{name.replace('_', '.', 1)}": content for name, content in files.items()
    }


def test_this_machine_has_memory_and_cores() -> None:
    cores = available_cores()
    assert 1 <= cores.n_fast <= cores.n_all
    if sys.platform in {"linux", "darwin", "win32"}:
        assert (available_memory() or 0) > 1 << 26


def test_an_unknown_system_has_unknown_memory_and_some_cores() -> None:
    assert available_memory("plan9") is None
    assert available_cores("plan9").n_all >= 1


def test_without_groups_it_is_what_the_kernel_says(lay: Lay) -> None:
    assert linux_memory(lay({"proc/meminfo": MEMINFO})) == 8000 * KB


def test_without_any_files_it_is_unknown(lay: Lay) -> None:
    assert linux_memory(lay({})) is None
    assert linux_memory(lay({"proc/meminfo": "MemTotal: 5 kB\n", "proc/self/cgroup": "nonsense\n"})) is None


@pytest.mark.parametrize("group", ["/a/b", "/a", ""])
def test_the_tightest_group_around_the_process_counts(lay: Lay, group: str) -> None:
    root = lay(second_version(group, memory_max="1000000\n", memory_current="400000\n"))
    assert linux_memory(root) == 600_000


def test_cached_files_of_a_group_count_as_free(lay: Lay) -> None:
    stat = "anon 100\ninactive_file 30000\nactive_file 20000\n"
    root = lay(second_version("/a/b", memory_max="100000", memory_current="90000", memory_stat=stat))
    assert linux_memory(root) == 60_000


def test_a_group_beyond_its_limit_leaves_nothing(lay: Lay) -> None:
    assert linux_memory(lay(second_version("/a", memory_max="1000", memory_current="4000"))) == 0


def test_a_group_without_a_limit_limits_nothing(lay: Lay) -> None:
    assert linux_memory(lay(second_version("/a", memory_max="max", memory_current="4000"))) == 8000 * KB


def test_the_first_version_of_the_interface_is_read_too(lay: Lay) -> None:
    folder = f"{GROUPS}/memory"  # a container sees its group as the top, and the host's path to it
    files = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n1:name=systemd:/docker/x\n",
        f"{folder}/memory.limit_in_bytes": "2000000",
        f"{folder}/memory.usage_in_bytes": "1500000",
        f"{folder}/memory.stat": "inactive_file 1\ntotal_inactive_file 100000\n",
    }
    assert linux_memory(lay(files)) == 600_000


VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10.
Pages active:                          99999.
Pages inactive:                           20.
Pages speculative:                         3.
Pages wired down:                      88888.
Pages purgeable:                           1.
"""


def test_vm_stat_of_macos_is_understood() -> None:
    assert vm_stat_memory(VM_STAT) == 34 * 16384
    assert vm_stat_memory("") is None
    assert vm_stat_memory("page size of 4096 bytes") is None


def cpus(siblings: list[str], **more: str) -> dict[str, str]:
    folder = "sys/devices/system/cpu/cpu"
    return {f"{folder}{i}/topology/thread_siblings_list": text for i, text in enumerate(siblings)} | more


def test_hardware_threads_of_one_core_count_once(lay: Lay) -> None:
    root = lay(cpus(["0,4", "1,5", "2,6", "3,7"] * 2))
    assert linux_cores(range(8), root) == Cores(4, 4)
    assert linux_cores({0, 4}, root) == Cores(1, 1)
    assert linux_cores({0, 1, 5}, root) == Cores(2, 2)


def test_siblings_are_also_told_as_ranges(lay: Lay) -> None:
    assert linux_cores(range(4), lay(cpus(["0-1\n", "0-1\n", "2-3\n", "2-3\n"]))) == Cores(2, 2)


def test_without_a_topology_each_hardware_thread_is_a_core(lay: Lay) -> None:
    assert linux_cores(range(6), lay({})) == Cores(6, 6)
    assert linux_cores([], lay({})) == Cores(1, 1)


def test_cores_that_save_power_are_told_apart_on_intel(lay: Lay) -> None:
    root = lay(cpus(["0-1", "0-1", "2-3", "2-3", "4", "5"]) | {"sys/devices/cpu_core/cpus": "0-3\n"})
    assert linux_cores(range(6), root) == Cores(2, 4)
    assert linux_cores({4, 5}, root) == Cores(2, 2)


def test_cores_that_save_power_are_told_apart_by_their_capacity(lay: Lay) -> None:
    capacities = {f"sys/devices/system/cpu/cpu{i}/cpu_capacity": "1024" if i > 3 else "446" for i in range(8)}
    assert linux_cores(range(8), lay(capacities)) == Cores(4, 8)


@pytest.mark.parametrize(
    ("quota", "n_cores"), [("150000 100000", 1), ("50000 100000", 1), ("400000 100000", 4), ("max 100000", 8)]
)
def test_a_quota_of_processor_time_limits_the_cores(lay: Lay, quota: str, n_cores: int) -> None:
    root = lay({"proc/self/cgroup": "0::/\n", f"{GROUPS}/cpu.max": quota})
    assert linux_cores(range(8), root) == Cores(n_cores, n_cores)


@pytest.mark.parametrize(("quota", "n_cores"), [("250000", 2), ("-1", 8)])
def test_a_quota_of_the_first_version_limits_the_cores(lay: Lay, quota: str, n_cores: int) -> None:
    folder = f"{GROUPS}/cpu,cpuacct"
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
    root = lay({"proc/self/cgroup": "5:cpu,cpuacct:/docker/x\n", **files})
    assert linux_cores(range(8), root) == Cores(n_cores, n_cores)
