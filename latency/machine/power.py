"""How the machine is powered: battery or mains, its power profile, and a limit on its clock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from latlas.files.records import one_line
from latlas.latency.machine import system

SAVING = ("low-power", "power-saver", "power", "quiet", "cool")
"""Power profiles and preferences of the clock's driver that keep a CPU slow."""


@dataclass(frozen=True, slots=True)
class Power:
    """Where the power comes from and how it is used; a field is None where the system does not say.

    `on_battery` says whether the machine runs on a battery alone. `profile` is the firmware's power profile. `top_mhz` is the
    highest clock that the CPUs of this process can reach, `cap_mhz` the highest clock that cpufreq allows them.
    """

    on_battery: bool | None = None
    profile: str | None = None
    top_mhz: float | None = None
    cap_mhz: float | None = None


def power(root: Path = Path("/"), cpus: frozenset[int] | None = None) -> Power:
    """The power of a machine from `/sys` under `root`, its clocks over these CPUs (all for None)."""
    battery, mains = list[bool](), list[bool]()
    for supply in sorted((root / "sys/class/power_supply").glob("*")):
        kind, scope = system.text(supply / "type"), system.text(supply / "scope")
        if kind == "Battery" and scope != "Device":  # a mouse has one too
            battery.append((system.text(supply / "status") or "").lower() == "discharging")
        elif kind in ("Mains", "USB") and (online := system.text(supply / "online")) is not None:
            mains.append(online != "0")
    on_battery = None if not battery and not mains else any(battery) and not any(mains)
    profile = system.text(root / "sys/firmware/acpi/platform_profile")
    return Power(
        on_battery=on_battery,
        profile=one_line(profile, 40) if profile else None,
        top_mhz=max(system.frequencies_mhz(root, cpus, "cpuinfo_max_freq"), default=None),
        cap_mhz=max(system.frequencies_mhz(root, cpus, "scaling_max_freq"), default=None),
    )
