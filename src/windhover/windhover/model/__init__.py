"""Model bundles, decoding of raw heads, NMS and the detector that joins them."""

from windhover.model.bundle import Bundle, find_bundle, write_bundle
from windhover.model.decode import Decoder
from windhover.model.graph import TensorSpec, check_graph
from windhover.model.manifest import Manifest, Role, Thresholds

__all__ = [
    "Bundle",
    "Decoder",
    "Manifest",
    "Role",
    "TensorSpec",
    "Thresholds",
    "check_graph",
    "find_bundle",
    "write_bundle",
]
