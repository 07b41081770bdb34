"""FSDP2 on CPUs, for tests in several processes."""

from contextlib import ExitStack
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin, is_torch_version
from torch.distributed.fsdp._fully_shard import _fsdp_param_group


def sharded_accelerator(**settings: object) -> Accelerator:
    """An accelerator that shards over gloo.

    accelerate passes over FSDP on CPUs without a word (`AcceleratorState` knows it for accelerators alone), while
    torch's `fully_shard` and all that accelerate does around it work there. So the state is told that it shards.

    Args:
        settings: of the plugin.
    """
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", reshard_after_forward=True, **settings
    )
    accelerator = Accelerator(cpu=True, fsdp_plugin=plugin)
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    AcceleratorState._shared_state["distributed_type"] = DistributedType.FSDP
    accelerator.state.fsdp_plugin = plugin
    assert accelerator.is_fsdp2
    _complete_old_torch()
    return accelerator


def _complete_old_torch() -> None:
    """Give older releases of torch what FSDP2 needs on CPUs; on GPUs, where users shard, they have it.

    In torch 2.6 the streams of a CPU record no events, and gathering a parameter again counts as a change of what the
    backward pass needs. In 2.6 and 2.7 gloo's `reduce_scatter_tensor` ignores its operator and adds, while
    `fully_shard` asks for the mean: gradients are larger by the number of processes (pytorch/pytorch#162338).
    """
    if is_torch_version("<", "2.7") and not hasattr(torch.cpu.Stream, "record_event"):
        torch.cpu.Stream.record_event = torch.cpu.Stream.wait_event = lambda stream, event=None: None
        copy = _fsdp_param_group.foreach_all_gather_copy_out

        def gather(gathered: Any, parameters: list[Any], group: Any) -> None:
            with ExitStack() as stack:
                for output in (output for parameter in parameters for output in parameter.all_gather_outputs):
                    stack.enter_context(torch.autograd._unsafe_preserve_version_counter(output))
                copy(gathered, parameters, group)

        _fsdp_param_group.foreach_all_gather_copy_out = gather
    if not dist.is_initialized():
        return
    mean, ones = torch.empty(1), torch.ones(dist.get_world_size())
    dist.reduce_scatter_tensor(output=mean, input=ones, op=dist.ReduceOp.AVG, group=None)
    if float(mean) == 1:
        return
    add = dist.reduce_scatter_tensor

    def reduce(*, output: torch.Tensor, op: Any, group: Any, **options: Any) -> None:
        add(output, op=op, group=group, **options)
        if op == dist.ReduceOp.AVG:
            output /= dist.get_world_size(group)

    dist.reduce_scatter_tensor = reduce


def data_parallel_accelerator() -> Accelerator:
    """An accelerator that does not, also after one that does."""
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=True)
