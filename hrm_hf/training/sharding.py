"""FSDP2: every process keeps a slice of each weight, of its gradient and of the optimizer's state.

    accelerate launch --config_file recipes/accelerate/fsdp2.yaml train_accelerate.py RECIPE

A sharded parameter is a `DTensor`. FSDP2 gathers a Transformer block for each of its calls and frees it again; the
weights outside of the blocks stay gathered from the forward to the end of the backward. Optimizers and moving average
work on slices (`local`); a model to evaluate or save is assembled when needed (`whole_model`), and checkpoints hold
whole tensors, so a run of any kind can read those of any other.

Notable choices:
- Accelerate's configuration decides whether and how weights are sharded, but `fully_shard` is called here and not by
  `accelerator.prepare`. In mixed precision that would replace autocast: weights, rotary angles and sums of gradients
  would be bfloat16. It would also slice the puzzle embedding, and on a CPU, where tests run, it always uses DDP.
- The puzzle embedding stays whole, because its gradient is sparse: SignSGD sums it over the processes, as with DDP.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin, parse_flag_from_env
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, fully_shard
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from hrm_hf.training.arguments import TrainArguments


# --- settings of the launcher


def sharding_wanted(args: TrainArguments, accelerator: Accelerator) -> FullyShardedDataParallelPlugin | None:
    """The FSDP2 settings that `accelerate launch` has put into the environment; `None`: weights stay whole.

    Args:
        args: of the run.
        accelerator: the processes.

    Raises:
        ValueError: if training with sharded weights does not support a setting or an option of the recipe.
    """
    if not parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return None
    # on a CPU Accelerate does not keep the plugin that it creates
    plugin = FullyShardedDataParallelPlugin()
    if plugin.fsdp_version != 2:
        raise ValueError(f"fsdp_version: {plugin.fsdp_version} is not supported; use 2 in the file of accelerate.")
    if plugin.auto_wrap_policy is not transformer_auto_wrap_policy:
        raise ValueError(
            "fsdp_auto_wrap_policy must be TRANSFORMER_BASED_WRAP, so that blocks are gathered one by one; see "
            "recipes/accelerate/fsdp2.yaml."
        )
    for option, is_set in {
        "fsdp_offload_params": isinstance(plugin.cpu_offload, CPUOffloadPolicy),
        "fsdp_activation_checkpointing": plugin.activation_checkpointing,
        "fsdp_ignored_modules": plugin.ignored_modules is not None,
    }.items():
        if is_set:
            raise ValueError(f"{option} is not supported; leave it out of the file of accelerate.")
    if args.fused_kernels:
        raise ValueError("fused_kernels=True is not supported with FSDP2; leave it out, or train with DDP.")
    if accelerator.num_processes == 1:
        raise ValueError("FSDP2 shards weights among processes, but there is only one; use at least num_processes=2.")
    return plugin


# --- slicing a model


def shard(
    network: nn.Module,
    plugin: FullyShardedDataParallelPlugin,
    accelerator: Accelerator,
    kept_whole: nn.Module | None = None,
) -> nn.Module:
    """Slice the parameters of a network, in place, and move the slices of this process to its device.

    Args:
        network: called by a step, on the CPU and equal on all processes.
        plugin: from `sharding_wanted`.
        accelerator: the processes; gives mixed precision, as autocast.
        kept_whole: a module whose parameters are not sharded and whose gradients are not reduced by FSDP2.

    Returns:
        The network.

    Raises:
        ValueError: if the network has no module of a class that should be gathered separately.
    """
    names = plugin.transformer_cls_names_to_wrap or ["HRMBlock"]
    blocks = [module for module in network.modules() if type(module).__name__ in names]
    missing = set(names) - {type(block).__name__ for block in blocks}
    if missing:
        raise ValueError(
            f"fsdp_transformer_layer_cls_to_wrap: {', '.join(names)} names modules that the model does not have "
            f"({', '.join(sorted(missing))}); the blocks of an HRM are HRMBlock."
        )
    ignored = set()
    if kept_whole is not None:
        ignored = set(kept_whole.to(accelerator.device).parameters())
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for block in blocks:
        fully_shard(block, mesh=mesh, reshard_after_forward=plugin.reshard_after_forward, ignored_params=ignored)
    # it warns against writing into outputs that are views, but nothing here writes into an output
    warnings.filterwarnings("ignore", f"FSDP2-wrapped module .FSDP{type(network).__name__}. returned a view")
    fully_shard(network, mesh=mesh, ignored_params=ignored)
    # Accelerate only adds autocast
    return accelerator.prepare_model(network, evaluation_mode=True)


@torch.no_grad()
def shard_like(copied: nn.Module, model: nn.Module):
    """Slice the parameters of a copy of a model, in place, in the same way as those of the model."""
    slices: dict[nn.Parameter, nn.Parameter] = {}  # tied parameters stay tied
    params = dict(model.named_parameters(remove_duplicate=False))
    for name, param in list(copied.named_parameters(remove_duplicate=False)):
        if not isinstance(params[name], DTensor):
            continue
        if param not in slices:
            slices[param] = nn.Parameter(slice_like(param.detach(), params[name]), param.requires_grad)
        owner, _, attribute = name.rpartition(".")
        setattr(copied.get_submodule(owner), attribute, slices[param])


# --- between slices and whole tensors


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a tensor: its slice, `(rows / processes, ...)`, or all of it if it is not sharded.

    Call it without gradient; it shares memory with the tensor.
    """
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The whole tensor, `(rows, ...)`; for a sharded one all processes must call this together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def slice_like(tensor: torch.Tensor, like: torch.Tensor | None) -> torch.Tensor:
    """The whole tensor `(rows, ...)`, equal on all processes, sliced like `like` and on its device.

    Unchanged if `like` is not sharded.
    """
    if not isinstance(like, DTensor):
        return tensor
    # nothing is sent: each process takes its own slice
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def join_like(part: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The whole tensor `(rows, ...)` from the slices `part` of all processes, which are sliced like `like`."""
    if not isinstance(like, DTensor):
        return part
    sliced = DTensor.from_local(part, like.device_mesh, like.placements, shape=like.shape, stride=like.stride())
    return sliced.full_tensor()


# --- whole states and models


def whole_state(state: Any, keep: bool) -> Any:
    """A state, nested dictionaries and lists, with whole tensors in place of slices; called by all processes.

    Args:
        state: of modules and optimizers.
        keep: whether this process needs it; otherwise it gets `None` in place of sharded tensors.
    """
    if isinstance(state, DTensor):
        # to the CPU one by one, because all of them may not fit on the device
        full = state.full_tensor()
        return full.cpu() if keep else None
    if isinstance(state, dict):
        return {name: whole_state(value, keep) for name, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(whole_state(value, keep) for value in state)
    return state


def load_whole_state(module: nn.Module, state: dict[str, torch.Tensor]):
    """Load a state of whole tensors into a module that may be sharded.

    Raises:
        RuntimeError: as `Module.load_state_dict`, if names or shapes differ.
    """
    own = module.state_dict()
    module.load_state_dict({name: slice_like(tensor, own.get(name)) for name, tensor in state.items()})


@contextmanager
def whole_model(empty: PreTrainedModel, model: nn.Module, device: torch.device) -> Iterator[PreTrainedModel]:
    """`empty`, filled with the weights of the model and on the device; called by all processes.

    Args:
        empty: copy of the model from before it was sharded. It stays on the CPU between uses.
        model: sharded.
        device: of the processes.
    """
    empty.to(device)
    targets = empty.state_dict()
    for name, tensor in model.state_dict().items():
        targets[name].copy_(whole(tensor))
    yield empty
    empty.to("cpu")
