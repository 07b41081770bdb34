"""Names that moved to `snapshots`, until `revisions` imports them from there."""

from hf_clipdyn.models.snapshots import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_base, has_adapter

__all__ = ["ADAPTER_CONFIG", "ADAPTER_WEIGHTS", "adapter_base", "has_adapter"]
