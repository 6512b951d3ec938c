import pytest

from windhover.health.level import Level
from windhover.health.machine_status import MachineLimits, MachineStatus, read_machine_status


def put(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n")


@pytest.fixture
def board(tmp_path):
    thermal, cpu = "sys/class/thermal", "sys/devices/system/cpu/cpufreq"
    put(tmp_path, f"{thermal}/thermal_zone0/type", "cpu-0-0")
    put(tmp_path, f"{thermal}/thermal_zone0/temp", 61200)
    put(tmp_path, f"{thermal}/thermal_zone1/type", "nsp-0")
    put(tmp_path, f"{thermal}/thermal_zone1/temp", 78900)
    put(tmp_path, f"{thermal}/thermal_zone2/type", "off")
    put(tmp_path, f"{thermal}/thermal_zone2/temp", -273000)
    put(tmp_path, f"{thermal}/cooling_device0/type", "cpufreq-cpu0")
    put(tmp_path, f"{thermal}/cooling_device0/cur_state", 0)
    put(tmp_path, f"{cpu}/policy0/cpuinfo_max_freq", 2000000)
    put(tmp_path, f"{cpu}/policy0/scaling_max_freq", 2000000)
    put(tmp_path, "proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable:  4096000 kB")
    put(tmp_path, "proc/self/status", "Name:\tx\nVmRSS:\t  204800 kB")
    return tmp_path


def test_every_value_of_a_board_is_read(board):
    machine_status = read_machine_status(board)
    assert (machine_status.hottest, machine_status.temperature_c) == ("nsp-0", 78.9)
    assert machine_status.clock_share == 1.0
    assert machine_status.memory_free_mib == 4000.0
    assert machine_status.rss_mib == 200.0
    assert machine_status.assess(MachineLimits()).level is Level.OK


@pytest.mark.parametrize(
    ("path", "value", "level", "expected"),
    [
        ("sys/class/thermal/thermal_zone1/temp", 86000, Level.WARN, "nsp-0 is at 86 °C"),
        ("sys/class/thermal/thermal_zone1/temp", 96000, Level.ERROR, "nsp-0 is at 96 °C"),
        ("sys/class/thermal/cooling_device0/cur_state", 3, Level.WARN, "slows down cpufreq-cpu0"),
        (
            "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq", 1000000, Level.WARN,
            "held at 50% of its full clock",
        ),
        ("proc/meminfo", "MemAvailable: 102400 kB", Level.WARN, "100 MiB of memory left"),
    ],
)  # fmt: skip
def test_what_is_not_well_is_reported_with_its_number(board, path, value, level, expected):
    put(board, path, value)
    status = read_machine_status(board).assess(MachineLimits())
    assert status.level is level
    assert expected in status.text


def test_a_containers_limit_counts_where_it_is_nearer(board):
    put(board, "sys/fs/cgroup/memory.max", 500 * 2**20)
    put(board, "sys/fs/cgroup/memory.current", 450 * 2**20)
    assert read_machine_status(board).memory_free_mib == 50.0
    files = f"anon 1\ninactive_file {300 * 2**20}\nactive_file {20 * 2**20}"
    put(board, "sys/fs/cgroup/memory.stat", files)
    assert read_machine_status(board).memory_free_mib == 370.0
    put(board, "sys/fs/cgroup/memory.max", "max")
    assert read_machine_status(board).memory_free_mib == 4000.0


def test_a_machine_without_readings_is_well(tmp_path):
    machine_status = read_machine_status(tmp_path)
    assert machine_status == MachineStatus()
    assert machine_status.values() == {}
    assert machine_status.assess(MachineLimits()).level is Level.OK


def test_this_machine_can_be_read():
    assert read_machine_status().rss_mib > 1
