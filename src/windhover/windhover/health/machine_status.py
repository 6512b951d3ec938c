"""Temperature, clock throttling and memory of the machine, as the kernel reports them.

Sources: Documentation/driver-api/thermal/sysfs-api.rst, admin-guide/pm/cpufreq.rst and
admin-guide/cgroup-v2.rst of the Linux kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from windhover.health.level import Level, Status

MIB = 2**20


@dataclass(frozen=True, slots=True)
class MachineLimits:
    """When the machine is not well.

    Attributes:
        warm_c: degrees Celsius from which the hottest zone is a warning.
        hot_c: degrees Celsius from which it is an error.
        min_free_memory_mib: memory that should be free, MiB.
        max_rss_mib: memory that this process may take, MiB; 0 = no limit.
    """

    warm_c: float = 85.0
    hot_c: float = 95.0
    min_free_memory_mib: float = 200.0
    max_rss_mib: float = 0.0


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """The machine at one moment; ``None`` where the kernel has no value.

    Attributes:
        hottest: name of the hottest thermal zone.
        temperature_c: of that zone, degrees Celsius.
        clock_share: lowest share of its full clock that a CPU may run at now, 0..1.
        cooling: names of devices that the kernel slows down to cool.
        memory_free_mib: that can be taken without swapping; the container's where it is less.
        rss_mib: memory of this process.
    """

    hottest: str | None = None
    temperature_c: float | None = None
    clock_share: float | None = None
    cooling: tuple[str, ...] = ()
    memory_free_mib: float | None = None
    rss_mib: float | None = None

    def assess(self, limits: MachineLimits) -> Status:
        """The machine's status; the worst counts."""
        statuses = [
            *self._check_heat(limits),
            *self._check_clocks(),
            *self._check_memory(limits),
        ]
        return max(
            statuses, key=lambda each: each.level, default=Status(Level.OK, "machine is well")
        )

    def values(self) -> dict[str, str]:
        """What was read, for people and programs; unknown values are left out."""
        known = {
            "hottest": self.hottest,
            "temperature_c": _one(self.temperature_c),
            "clock_share": None if self.clock_share is None else f"{self.clock_share:.2f}",
            "cooling": ", ".join(self.cooling),
            "memory_free_mib": _one(self.memory_free_mib),
            "rss_mib": _one(self.rss_mib),
        }
        return {key: text for key, text in known.items() if text}

    def _check_heat(self, limits: MachineLimits) -> list[Status]:
        if self.temperature_c is None or self.temperature_c < limits.warm_c:
            return []
        hot = self.temperature_c >= limits.hot_c
        return [
            Status(
                Level.ERROR if hot else Level.WARN,
                f"{self.hottest} is at {self.temperature_c:.0f} °C; "
                + ("lower the camera's rate or stop the detector" if hot else "see to its cooling"),
            )
        ]

    def _check_clocks(self) -> list[Status]:
        if self.cooling:
            names = ", ".join(self.cooling)
            return [
                Status(Level.WARN, f"the kernel slows down {names} to cool; expect lower rates")
            ]
        if self.clock_share is not None and self.clock_share < 0.95:
            return [
                Status(
                    Level.WARN,
                    f"a CPU is held at {self.clock_share:.0%} of its full clock; see its heat and "
                    "scaling_max_freq",
                )
            ]
        return []

    def _check_memory(self, limits: MachineLimits) -> list[Status]:
        found = []
        free = self.memory_free_mib
        if free is not None and free < limits.min_free_memory_mib:
            found.append(
                Status(
                    Level.WARN,
                    f"{free:.0f} MiB of memory left, at least {limits.min_free_memory_mib:g} are "
                    "required; end other programs or raise the container's limit",
                )
            )
        if limits.max_rss_mib and self.rss_mib is not None and self.rss_mib > limits.max_rss_mib:
            found.append(
                Status(
                    Level.WARN,
                    f"this process takes {self.rss_mib:.0f} MiB, at most {limits.max_rss_mib:g} "
                    "are allowed",
                )
            )
        return found


def read_machine_status(root: Path = Path("/")) -> MachineStatus:
    """Read the machine's status from the kernel; takes about a millisecond.

    Args:
        root: folder that contains /sys and /proc.
    """
    zone, temperature = _hottest(root)
    free = [mib for mib in (_memory_available_mib(root), _cgroup_free_mib(root)) if mib is not None]
    return MachineStatus(
        hottest=zone,
        temperature_c=temperature,
        clock_share=_clock_share(root),
        cooling=_cooling(root),
        memory_free_mib=min(free, default=None),
        rss_mib=_field_mib(root / "proc/self/status", "VmRSS"),
    )


def _hottest(root: Path) -> tuple[str | None, float | None]:
    found: list[tuple[float, str]] = []
    for zone in root.glob("sys/class/thermal/thermal_zone*"):
        milli = _number(zone / "temp")
        # A sensor that is off gives nonsense far below freezing or above melting.
        if milli is not None and -40_000 < milli < 200_000:
            found.append((milli / 1000, _text(zone / "type") or zone.name))
    if not found:
        return None, None
    temperature, name = max(found)
    return name, temperature


def _clock_share(root: Path) -> float | None:
    shares = []
    for policy in root.glob("sys/devices/system/cpu/cpufreq/policy*"):
        allowed, full = _number(policy / "scaling_max_freq"), _number(policy / "cpuinfo_max_freq")
        if allowed is not None and full:
            shares.append(allowed / full)
    return min(shares, default=None)


def _cooling(root: Path) -> tuple[str, ...]:
    names = set()
    for device in root.glob("sys/class/thermal/cooling_device*"):
        kind = _text(device / "type") or device.name
        # A fan that turns slows nothing down.
        if (_number(device / "cur_state") or 0) > 0 and "fan" not in kind.lower():
            names.add(kind)
    return tuple(sorted(names))


def _memory_available_mib(root: Path) -> float | None:
    return _field_mib(root / "proc/meminfo", "MemAvailable")


def _cgroup_free_mib(root: Path) -> float | None:
    folder = root / "sys/fs/cgroup"
    most, now = _number(folder / "memory.max"), _number(folder / "memory.current")
    if most is None or now is None:
        return None
    # Files that are kept in memory while there is room for them count as current.
    entries = dict(line.split() for line in (_text(folder / "memory.stat") or "").splitlines())
    cached = sum(int(entries.get(name, 0)) for name in ("active_file", "inactive_file"))
    return (most - now + cached) / MIB


def _field_mib(file: Path, name: str) -> float | None:
    for line in (_text(file) or "").splitlines():
        key, _, rest = line.partition(":")
        if key == name:
            return float(rest.split()[0]) / 1024
    return None


def _number(file: Path) -> float | None:
    text = _text(file)
    try:
        return float(text) if text else None
    except ValueError:  # "max" of a cgroup without a limit
        return None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # absent, or a sensor that does not answer
        return None


def _one(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"
