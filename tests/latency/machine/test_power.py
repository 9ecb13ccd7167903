"""Battery, power profile and a clock that is held down, of machines that are described."""

import pytest

from latlas.latency.machine.checks import MachineReport, state_checks
from latlas.latency.machine.power import Power, power
from latlas.latency.machine.state import MachineState, machine_state

CPU = "sys/devices/system/cpu/cpu0/cpufreq"
SUPPLY = "sys/class/power_supply"


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def laptop(root, *, online="0", status="Discharging", profile="low-power", cap="1200000"):
    return write(
        root,
        {
            f"{SUPPLY}/AC/type": "Mains",
            f"{SUPPLY}/AC/online": online,
            f"{SUPPLY}/BAT0/type": "Battery",
            f"{SUPPLY}/BAT0/status": status,
            f"{SUPPLY}/mouse/type": "Battery",
            f"{SUPPLY}/mouse/scope": "Device",
            f"{SUPPLY}/mouse/status": "Discharging",
            "sys/firmware/acpi/platform_profile": profile,
            f"{CPU}/cpuinfo_max_freq": "4800000",
            f"{CPU}/scaling_max_freq": cap,
            f"{CPU}/scaling_cur_freq": "800000",
        },
    )


def checks_of(root):
    report = MachineReport(machine_state(root, allowed=[0]), power=power(root))
    return {check.name: check for check in state_checks(report, 1, "f32")}


def test_a_laptop_on_battery_in_a_low_power_profile(tmp_path):
    root = laptop(tmp_path)
    assert power(root) == Power(True, "low-power", 4800.0, 1200.0)
    checks = checks_of(root)
    assert checks["power"].status == "warning"
    assert checks["power"].line == (
        "on battery, power profile low-power; the CPU is kept slow to save power; connect it to the mains and choose another "
        "profile (`powerprofilesctl set performance`)"
    )
    assert (checks["clock"].status, checks["clock"].seen) == (
        "warning",
        "the clock is held at 1200 MHz at most, of 4800 that the CPU can reach",
    )


def test_the_same_on_mains_with_nothing_held_back(tmp_path):
    checks = checks_of(laptop(tmp_path, online="1", status="Charging", profile="balanced", cap="4800000"))
    assert (checks["power"].status, checks["power"].seen) == ("ok", "on mains, power profile balanced")
    assert (checks["clock"].status, checks["clock"].seen) == ("warning", "clock 800 MHz of at most 4800 now")


@pytest.mark.parametrize("status", ["Full", "Not charging", "Unknown"])
def test_a_battery_that_is_not_discharging_is_not_the_source(tmp_path, status):
    assert power(laptop(tmp_path, online="1", status=status)).on_battery is False


def test_a_machine_that_says_nothing(tmp_path):
    assert power(tmp_path) == Power()
    (check,) = (one for one in state_checks(MachineReport(MachineState()), 1, "f32") if one.name == "power")
    assert check.status == "unknown"
