"""Votes for the HTP's clocks: how fast, and how long it stays awake."""

from __future__ import annotations

import ctypes as c
from collections.abc import Mapping
from dataclasses import dataclass

from windhover.inference.qnn_api.device import HtpDevice
from windhover.inference.qnn_api.functions import Functions, Prototype
from windhover.inference.qnn_api.structs import HtpInfrastructure, PowerConfig

_OPTION_DCVS, _OPTION_RPC_LATENCY, _OPTION_RPC_POLLING = 1, 2, 3
_ADJUST_UP_DOWN, _PERFORMANCE = 0x01, 0x10
_CORNER_NOMINAL_PLUS, _CORNER_TURBO, _CORNER_MAX = 0x70, 0x80, 0xA0
_DEVICE, _CORE = 0, 0

_FUNCTIONS = {
    "createPowerConfigId": Prototype(0, (c.c_uint32, c.c_uint32, c.c_void_p)),
    "destroyPowerConfigId": Prototype(1, (c.c_uint32,)),
    "setPowerConfig": Prototype(2, (c.c_uint32, c.c_void_p)),
}


@dataclass(frozen=True, slots=True)
class Vote:
    """A request to the HTP.

    Attributes:
        corner: voltage corner of bus and core, which sets their clocks.
        scaling: let the clocks follow the load (DCVS).
        power_mode: how DCVS weighs speed against power.
        sleep_us: least latency of a wake-up that sleep may cause.
        polling_us: how long the CPU polls for a result before it sleeps.
    """

    corner: int
    scaling: bool
    power_mode: int
    sleep_us: int
    polling_us: int


VOTES: Mapping[str, Vote] = {
    "burst": Vote(_CORNER_MAX, False, _PERFORMANCE, 40, 9999),
    "sustained_high_performance": Vote(_CORNER_TURBO, False, _PERFORMANCE, 100, 9999),
    "balanced": Vote(_CORNER_NOMINAL_PLUS, True, _ADJUST_UP_DOWN, 1000, 0),
}
"""By the names that ONNX Runtime's ``htp_performance_mode`` has."""

RPC_LATENCY_US = 100


class PowerVote:
    """A vote that stands until it is closed, to be closed before its device.

    Args:
        device: whose clocks it is for.
        mode: of :data:`VOTES`.

    Raises:
        QnnError: the platform takes no votes. An emulator takes them and has no clocks.
    """

    def __init__(self, device: HtpDevice, mode: str) -> None:
        infrastructure = c.POINTER(HtpInfrastructure)()
        device.call("deviceGetInfrastructure", c.byref(infrastructure))
        found = infrastructure.contents
        table = (found.create_power_id, found.destroy_power_id, found.set_power_config)
        self._call = Functions(table, _FUNCTIONS, device.libraries.name_code)
        self._id = c.c_uint32()
        self._call("createPowerConfigId", _DEVICE, _CORE, c.byref(self._id))
        self._stands = True
        try:
            configs = power_configs(VOTES[mode], self._id.value)
            addresses = [c.addressof(config) for config in configs]
            array = (c.c_void_p * (len(configs) + 1))(*addresses, None)
            self._call("setPowerConfig", self._id, array)
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Withdraw the vote; calling it twice is fine."""
        if self._stands:
            self._stands = False
            self._call("destroyPowerConfigId", self._id)


def power_configs(vote: Vote, power_id: int) -> list[PowerConfig]:
    """A vote as the driver takes it."""
    clocks = PowerConfig(option=_OPTION_DCVS)
    dcvs = clocks.value.dcvs
    dcvs.power_id = power_id
    dcvs.set_dcvs, dcvs.dcvs, dcvs.power_mode = 1, int(vote.scaling), vote.power_mode
    dcvs.set_sleep_latency, dcvs.sleep_latency_us = 1, vote.sleep_us
    dcvs.set_bus = dcvs.set_core = 1
    dcvs.bus_min = dcvs.bus_target = dcvs.bus_max = vote.corner
    dcvs.core_min = dcvs.core_target = dcvs.core_max = vote.corner
    latency = PowerConfig(option=_OPTION_RPC_LATENCY)
    latency.value.microseconds = RPC_LATENCY_US
    polling = PowerConfig(option=_OPTION_RPC_POLLING)
    polling.value.microseconds = vote.polling_us
    return [clocks, latency, polling]
