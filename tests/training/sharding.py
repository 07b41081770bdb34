"""FSDP2 on CPUs, for tests in several processes."""

from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin


def sharded_accelerator(**settings: object) -> Accelerator:
    """An accelerator that shards over gloo.

    accelerate passes over FSDP on CPUs without a word (`AcceleratorState` knows it for accelerators alone), while
    torch's `fully_shard` and all that accelerate does around it work there. So the state is told that it shards.

    Args:
        settings: of the plugin.
    """
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        reshard_after_forward=True,
        **settings,
    )
    accelerator = Accelerator(cpu=True, fsdp_plugin=plugin)
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    AcceleratorState._shared_state["distributed_type"] = DistributedType.FSDP
    accelerator.state.fsdp_plugin = plugin
    assert accelerator.is_fsdp2
    return accelerator


def data_parallel_accelerator() -> Accelerator:
    """An accelerator that does not, also after one that does."""
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=True)
