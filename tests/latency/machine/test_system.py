from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latlas.latency.machine import system
from latlas.latency.machine.system import (
    cgroup_throttling,
    chosen,
    container,
    core_groups,
    core_kinds,
    cpu_list,
    cpu_quota,
    frequencies_mhz,
    listed,
    memory,
    numa_nodes,
    thermal_throttles,
    virtualization,
)

CPUS = system.CPUS


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0-3,8", {0, 1, 2, 3, 8}),
        ("5", {5}),
        ("", set()),
        (None, set()),
        ("3-1", set()),
        ("x,1-y,2", {2}),
        ("0-99999999999", set()),
        ("-1", set()),
    ],
)
def test_cpu_list(text, cpus):
    assert cpu_list(text) == cpus


@given(st.frozensets(st.integers(0, 600)))
def test_a_list_of_cpus_is_read_as_it_was_written(cpus):
    assert cpu_list(listed(cpus)) == cpus


def test_throttling_is_read_in_both_versions_units_and_summed_up_the_tree(tmp_path):
    two = write(
        tmp_path / "v2",
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/cpu.stat": "usage_usec 9\nnr_periods 8\nnr_throttled 3\nthrottled_usec 250000\n",
            "sys/fs/cgroup/a/b/cpu.stat": "nr_throttled 1\nthrottled_usec 250000\nbroken\n",
        },
    )
    assert cgroup_throttling(two) == (4, 0.5)
    one = write(
        tmp_path / "v1",
        {
            "proc/self/cgroup": "2:cpu,cpuacct:/\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 1500000000\n",
        },
    )
    assert cgroup_throttling(one) == (2, 1.5)
    none = write(tmp_path / "none", {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.stat": "usage_usec 5\n"})
    assert cgroup_throttling(none) is None
    assert cgroup_throttling(tmp_path / "nowhere") is None


def test_a_package_counts_once_in_the_throttles(tmp_path):
    root = write(
        tmp_path,
        {
            f"{CPUS}/cpu{cpu}/thermal_throttle/{kind}_throttle_count": count
            for cpu in (0, 1)
            for kind, count in (("core", "2\n"), ("package", "5\n"))
        },
    )
    assert thermal_throttles(root) == 2 + 2 + 5
    assert thermal_throttles(tmp_path / "nowhere") is None


def test_clocks_are_of_the_cpus_asked_for(tmp_path):
    files = {f"{CPUS}/cpu{cpu}/cpufreq/scaling_cur_freq": f"{800 + cpu}000\n" for cpu in range(3)}
    root = write(tmp_path, files | {f"{CPUS}/cpufreq/x": "", f"{CPUS}/cpu3/cpufreq/scaling_cur_freq": "<unknown>"})
    assert frequencies_mhz(root) == [800, 801, 802]
    assert frequencies_mhz(root, frozenset({1, 3})) == [801]


@pytest.mark.parametrize(
    ("cpu", "files", "kind"),
    [
        ({"flags": "avx2"}, {}, "none"),
        ({"flags": "avx2 hypervisor"}, {}, None),
        ({"flags": "hypervisor"}, {"sys/class/dmi/id/sys_vendor": "QEMU"}, "kvm"),
        ({"flags": "hypervisor"}, {"sys/class/dmi/id/sys_vendor": "VMware, Inc."}, "vmware"),
        ({"flags": "hypervisor"}, {"sys/class/dmi/id/sys_vendor": "Microsoft Corporation"}, "hyper-v"),
        ({"flags": "hypervisor"}, {"sys/class/dmi/id/product_name": "VirtualBox"}, "virtualbox"),
        ({"flags": "hypervisor"}, {"sys/hypervisor/type": "xen\n"}, "xen"),
        (
            {"flags": "hypervisor"},
            {"sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc kvm-clock"},
            "kvm",
        ),
        # A flag says it on x86 only, and Amazon has ARM machines of both kinds.
        ({"features": "asimd"}, {"sys/class/dmi/id/sys_vendor": "Amazon EC2"}, None),
        ({"features": "asimd"}, {"sys/class/dmi/id/sys_vendor": "QEMU"}, "kvm"),
        ({}, {}, None),
    ],
)
def test_kinds_of_virtual_machines(tmp_path, cpu, files, kind):
    assert virtualization(write(tmp_path, files), cpu) == kind


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({".dockerenv": ""}, "docker"),
        ({"run/.containerenv": ""}, "podman"),
        ({"proc/self/cgroup": "0::/kubepods/burstable/x\n"}, "kubepods"),
        ({"proc/self/cgroup": "0::/user.slice\n"}, None),
        ({}, None),
    ],
)
def test_kinds_of_containers(tmp_path, files, kind):
    assert container(write(tmp_path, files)) == kind


def test_two_kinds_of_cores_by_their_counters_and_by_capacity(tmp_path):
    intel = write(tmp_path / "intel", {"sys/devices/cpu_core/cpus": "0-15\n", "sys/devices/cpu_atom/cpus": "16-23\n"})
    assert core_kinds(intel) == (frozenset(range(16)), frozenset(range(16, 24)))
    capacities = {f"{CPUS}/cpu{cpu}/cpu_capacity": str(value) for cpu, value in enumerate((1024, 980, 430, 430))}
    assert core_kinds(write(tmp_path / "arm", capacities)) == (frozenset({0, 1}), frozenset({2, 3}))
    favoured = {f"{CPUS}/cpu{cpu}/cpu_capacity": str(value) for cpu, value in enumerate((1024, 980))}
    assert core_kinds(write(tmp_path / "favoured", favoured)) == (frozenset(), frozenset())
    assert core_kinds(tmp_path / "nowhere") == (frozenset(), frozenset())


def test_siblings_and_memory_nodes_of_the_cpus_that_we_may_use(tmp_path):
    files = {f"{CPUS}/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 2},{cpu % 2 + 2}" for cpu in range(4)}
    nodes = {"sys/devices/system/node/node0/cpulist": "0,2", "sys/devices/system/node/node1/cpulist": "1,3"}
    root = write(tmp_path, files | nodes)
    assert core_groups(root, frozenset(range(4))) == [{0, 2}, {1, 3}]
    assert core_groups(root, frozenset({0, 3})) == [{0}, {3}]
    assert core_groups(tmp_path / "nowhere", frozenset({0})) == []
    assert [numa_nodes(root, cpus) for cpus in (None, frozenset({0}), frozenset({0, 1}))] == [2, 1, 2]
    assert numa_nodes(tmp_path / "nowhere", None) is None


def test_memory_in_bytes_and_the_option_in_brackets(tmp_path):
    found = memory(write(tmp_path, {"proc/meminfo": "MemTotal: 16 kB\nHugePages_Total: 3\nbroken\nx: y kB\n"}))
    assert found == {"MemTotal": 16384, "HugePages_Total": 3}
    assert [chosen(text) for text in ("always [madvise] never", "none", "", None)] == ["madvise", None, None, None]


def test_cpu_quota_of_cgroup_v1_is_the_least_up_the_tree(tmp_path):
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "3:cpuset:/\n2:cpu,cpuacct:/box\n1:name=systemd:/\n",
            "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
    )
    assert cpu_quota(root) == 0.5


def test_cpu_quota_of_garbage_is_no_limit(tmp_path):
    assert cpu_quota(write(tmp_path, {"proc/self/cgroup": "0::/\n\nx\n", "sys/fs/cgroup/cpu.max": "many"})) is None
