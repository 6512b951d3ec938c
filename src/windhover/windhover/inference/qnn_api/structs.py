"""Memory layouts of the QNN C API that this binding reads and writes.

Core API 2.40 and system API 1.15 on 64-bit Linux. Names follow the C API with
the ``Qnn_`` prefix dropped and fields in snake case. Every size is checked when
the module is imported, so that a wrong layout fails here and not in a driver.
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable
from typing import TypeVar

_Layout = TypeVar("_Layout", bound=type)

CORE_SLOTS = 75
"""Function pointers in the core interface; its struct is passed by value, so it must fit."""

OPTION_CUSTOM = 0
"""``QNN_DEVICE_CONFIG_OPTION_CUSTOM`` and ``QNN_GRAPH_CONFIG_OPTION_CUSTOM``."""

SYSTEM_SLOTS = 13
"""Function pointers of the system interface up to the last that is used here."""


def _size(expected: int) -> Callable[[_Layout], _Layout]:
    def check(layout: _Layout) -> _Layout:
        actual = c.sizeof(layout)
        if actual != expected:
            raise AssertionError(f"{layout.__name__} is {actual} bytes where QNN has {expected}")
        return layout

    return check


@_size(12)
class Version(c.Structure):
    """``Qnn_Version_t``."""

    _fields_ = (("major", c.c_uint32), ("minor", c.c_uint32), ("patch", c.c_uint32))


@_size(640)
class Interface(c.Structure):
    """``QnnInterface_t`` with the function table of core API 2.40."""

    _fields_ = (
        ("backend_id", c.c_uint32),
        ("provider_name", c.c_char_p),
        ("core_version", Version),
        ("backend_version", Version),
        ("table", c.c_void_p * CORE_SLOTS),
    )


@_size(32 + 8 * SYSTEM_SLOTS)
class SystemInterface(c.Structure):
    """The first part of ``QnnSystemInterface_t``; only ever seen through a pointer."""

    _fields_ = (
        ("backend_id", c.c_uint32),
        ("provider_name", c.c_char_p),
        ("version", Version),
        ("table", c.c_void_p * SYSTEM_SLOTS),
    )


@_size(40)
class QuantizeParams(c.Structure):
    """``Qnn_QuantizeParams_t`` for scale and offset: ``real = (q + offset) * scale``.

    The other encodings share the 32 bytes from ``scale`` on and are not read.
    """

    _fields_ = (
        ("definition", c.c_uint32),
        ("encoding", c.c_uint32),
        ("scale", c.c_float),
        ("offset", c.c_int32),
        ("_other_encodings", c.c_uint64 * 3),
    )


@_size(144)
class Tensor(c.Structure):
    """``Qnn_Tensor_t`` version 2; a version 1 tensor fills the same first fields."""

    _fields_ = (
        ("version", c.c_uint32),
        ("_align", c.c_uint32),
        ("id", c.c_uint32),
        ("name", c.c_char_p),
        ("type", c.c_uint32),
        ("data_format", c.c_uint32),
        ("data_type", c.c_uint32),
        ("quantize", QuantizeParams),
        ("rank", c.c_uint32),
        ("dimensions", c.POINTER(c.c_uint32)),
        ("memory_type", c.c_uint32),
        ("data", c.c_void_p),
        ("data_size", c.c_uint32),
        ("dynamic_dimensions", c.c_void_p),
        ("sparse", c.c_uint32 * 3),
        ("is_produced", c.c_uint8),
    )


@_size(40)
class MemDescriptor(c.Structure):
    """``Qnn_MemDescriptor_t`` of type ion: memory by its file descriptor."""

    _fields_ = (
        ("rank", c.c_uint32),
        ("dimensions", c.POINTER(c.c_uint32)),
        ("shape_config", c.c_char_p),
        ("data_type", c.c_uint32),
        ("memory_type", c.c_uint32),
        # A union with a pointer of the backend's own.
        ("descriptor", c.c_int32),
        ("_rest_of_pointer", c.c_uint32),
    )


@_size(88)
class GraphInfo(c.Structure):
    """``QnnSystemContext_GraphInfo_t``; versions 1 to 3 have the same beginning."""

    _fields_ = (
        ("version", c.c_uint32),
        ("name", c.c_void_p),
        ("input_count", c.c_uint32),
        ("inputs", c.POINTER(Tensor)),
        ("output_count", c.c_uint32),
        ("outputs", c.POINTER(Tensor)),
        ("_later_versions", c.c_uint64 * 5),
    )


@_size(144)
class BinaryInfo(c.Structure):
    """The first part of ``QnnSystemContext_BinaryInfo_t`` version 3."""

    _fields_ = (
        ("version", c.c_uint32),
        ("_align", c.c_uint32),
        ("backend_id", c.c_uint32),
        ("build", c.c_char_p),
        ("core_version", Version),
        ("backend_version", Version),
        ("soc_version", c.c_char_p),
        ("blob_version", Version),
        ("blob_size", c.c_uint64),
        ("tensor_count", c.c_uint32),
        ("tensors", c.POINTER(Tensor)),
        ("graph_count", c.c_uint32),
        ("graphs", c.POINTER(GraphInfo)),
        ("_not_read", c.c_uint64 * 3),
        ("soc_model", c.c_uint32),
    )


@_size(16)
class Config(c.Structure):
    """``QnnDevice_Config_t`` and ``QnnGraph_Config_t``: option 0 holds a backend's own."""

    _fields_ = (("option", c.c_uint32), ("custom", c.c_void_p))


class _Arch(c.Structure):
    _fields_ = (("device_id", c.c_uint32), ("arch", c.c_uint32))


class _DeviceValue(c.Union):
    _fields_ = (("soc_model", c.c_uint32), ("arch", _Arch), ("pointer", c.c_void_p))


@_size(16)
class HtpDeviceConfig(c.Structure):
    """``QnnHtpDevice_CustomConfig_t``."""

    _fields_ = (("option", c.c_uint32), ("value", _DeviceValue))


class _Optimization(c.Structure):
    _fields_ = (("type", c.c_uint32), ("value", c.c_float))


class _GraphValue(c.Union):
    # The widest member is a key and a scalar, 24 bytes; not used here.
    _fields_ = (
        ("optimization", _Optimization),
        ("vtcm_mb", c.c_uint32),
        ("_widest", c.c_uint64 * 3),
    )


@_size(32)
class HtpGraphConfig(c.Structure):
    """``QnnHtpGraph_CustomConfig_t``."""

    _fields_ = (("option", c.c_uint32), ("value", _GraphValue))


@_size(64)
class DcvsV3(c.Structure):
    """``QnnHtpPerfInfrastructure_DcvsV3_t``: a vote for clocks and sleep."""

    _fields_ = (
        ("power_id", c.c_uint32),
        ("set_dcvs", c.c_uint32),
        ("dcvs", c.c_uint32),
        ("power_mode", c.c_uint32),
        ("set_sleep_latency", c.c_uint32),
        ("sleep_latency_us", c.c_uint32),
        ("set_sleep_disable", c.c_uint32),
        ("sleep_disable", c.c_uint32),
        ("set_bus", c.c_uint32),
        ("bus_min", c.c_uint32),
        ("bus_target", c.c_uint32),
        ("bus_max", c.c_uint32),
        ("set_core", c.c_uint32),
        ("core_min", c.c_uint32),
        ("core_target", c.c_uint32),
        ("core_max", c.c_uint32),
    )


class _PowerValue(c.Union):
    _fields_ = (("dcvs", DcvsV3), ("microseconds", c.c_uint32))


@_size(68)
class PowerConfig(c.Structure):
    """``QnnHtpPerfInfrastructure_PowerConfig_t``."""

    _fields_ = (("option", c.c_uint32), ("value", _PowerValue))


@_size(40)
class HtpInfrastructure(c.Structure):
    """``QnnHtpDevice_Infrastructure_t``: functions that create, destroy and set votes."""

    _fields_ = (
        ("type", c.c_uint32),
        ("create_power_id", c.c_void_p),
        ("destroy_power_id", c.c_void_p),
        ("set_power_config", c.c_void_p),
        ("set_memory_config", c.c_void_p),
    )


@_size(24)
class ProfileEvent(c.Structure):
    """``QnnProfile_EventData_t``."""

    _fields_ = (
        ("type", c.c_uint32),
        ("unit", c.c_uint32),
        ("value", c.c_uint64),
        ("identifier", c.c_char_p),
    )


class ConfigList:
    """A null-terminated array of configs, each of which holds one of the HTP's own.

    QNN reads it during the call only, and it must live until then: keep a
    reference over the call.
    """

    def __init__(self, *custom: c.Structure) -> None:
        self._custom = custom
        self._configs = [Config(OPTION_CUSTOM, c.addressof(each)) for each in custom]
        addresses = [c.addressof(each) for each in self._configs]
        self.array = (c.c_void_p * (len(addresses) + 1))(*addresses, None)
