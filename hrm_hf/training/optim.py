"""Which optimizer trains which parameter."""

from torch import nn

from hrm_hf.training.adam_atan2 import AdamATan2
from hrm_hf.training.arguments import TrainArguments
from hrm_hf.training.device_optimizer import DeviceOptimizer
from hrm_hf.training.muon import Muon
from hrm_hf.training.sign_sgd import SignSGD


# matrices below each other in one parameter
_PARTS = {"qkv_proj": 3, "gate_up_proj": 2}


def puzzle_embedding(model: nn.Module) -> nn.Embedding | None:
    """The embedding of puzzle identifiers in a prefix, whose gradient is sparse in training.

    `None` in a model without one, or one that adds it everywhere: then it has one row per task, each visited often,
    and is trained like other weights.
    """
    if getattr(model.config, "puzzle_emb_placement", "prefix") != "prefix":
        return None
    return getattr(model.base_model, "puzzle_embeddings", None)


def build_optimizers(model: nn.Module, args: TrainArguments) -> list[DeviceOptimizer]:
    """SignSGD for the puzzle embeddings, if any; with `optimizer="muon"` Muon for the matrices of the blocks;
    AdamATan2 for everything else, with separate learning rates for embeddings.

    Trained positions, the weights of norms (of models other than ours) and of the input injection, which are 1 where
    nothing is learned, get no weight decay. Sets the puzzle embedding to sparse gradients.

    Returns:
        AdamATan2 first; the optimizer of the puzzle embeddings last.
    """
    puzzle_embeddings = puzzle_embedding(model)
    decayed, spared, of_puzzles, of_tokens = [], [], [], []
    matrices: dict[int, list[nn.Parameter]] = {}
    for name, param in model.named_parameters():
        if puzzle_embeddings is not None and param is puzzle_embeddings.weight:
            continue
        if "positions." in name or "_injection." in name or (param.ndim == 1 and "norm" in name):
            spared.append(param)
        elif "puzzle_embeddings." in name or "role_embeddings." in name:
            of_puzzles.append(param)
        elif "embed_tokens." in name and args.token_emb_learning_rate is not None:
            of_tokens.append(param)
        elif args.optimizer == "muon" and ".layers." in name and param.ndim == 2:
            module = name.split(".")[-2]
            matrices.setdefault(_PARTS.get(module, 1), []).append(param)
        else:
            decayed.append(param)

    groups = [
        {"params": decayed},
        {"params": spared, "weight_decay": 0.0},
        {
            "params": of_puzzles,
            "lr": args.puzzle_emb_learning_rate,
            "weight_decay": args.puzzle_emb_weight_decay,
        },
        {"params": of_tokens, "lr": args.token_emb_learning_rate},
    ]
    optimizers: list[DeviceOptimizer] = [
        AdamATan2(
            [group for group in groups if group["params"]],
            lr=args.learning_rate,
            betas=(args.adam_beta1, args.adam_beta2),
            weight_decay=args.weight_decay,
        )
    ]
    if matrices:
        groups = [{"params": params, "parts": parts} for parts, params in matrices.items()]
        optimizers.append(
            Muon(groups, lr=args.learning_rate, momentum=args.muon_momentum, weight_decay=args.weight_decay)
        )
    if puzzle_embeddings is not None:
        puzzle_embeddings.sparse = True
        optimizers.append(
            SignSGD(
                [puzzle_embeddings.weight],
                lr=args.puzzle_emb_learning_rate,
                weight_decay=args.puzzle_emb_weight_decay,
            )
        )
    return optimizers
