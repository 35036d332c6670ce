"""Checkpoints of the original HRM code (sapientinc/HRM) as HRM models of this project.

The original saves a state dict (`step_N`), next to it `all_config.yaml`, and in the data folder `dataset.json`.
"""

import json
import os
from pathlib import Path

import torch
import yaml

from configuration_hrm import HRMConfig, swiglu_intermediate_size
from modeling_hrm import HRMForGridTask


# prefix of the original's parameter names, in the order in which wrappers were put on
_PREFIXES = ("_orig_mod.", "model.", "inner.")

_RENAMES = {
    "H_init": "model.H_init",
    "L_init": "model.L_init",
    "embed_tokens.embedding_weight": "model.embed_tokens.weight",
    "embed_pos.embedding_weight": "model.embed_positions.weight",
    "puzzle_emb.weights": "model.puzzle_embeddings.weight",
    "lm_head.weight": "lm_head.weight",
    "q_head.weight": "q_head.weight",
    "q_head.bias": "q_head.bias",
}


def rename_original_key(key: str) -> str:
    """Name here of a parameter of the original, with or without its wrappers' prefixes.

    Raises:
        ValueError: if the name is not one of the original model's.
    """
    name = key
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    if name in _RENAMES:
        return _RENAMES[name]
    for module in ("H_level", "L_level"):
        if name.startswith(f"{module}.layers."):
            return "model." + name.replace("_level", "_module", 1)
    raise ValueError(f"{key!r} is not a parameter of the original HRM (ACT version 1); is this its checkpoint?")


def config_from_original(all_config: dict, dataset: dict) -> HRMConfig:
    """Configuration from the contents of the original's `all_config.yaml` and `dataset.json`.

    Raises:
        ValueError: if an entry is missing.
    """
    try:
        arch = all_config["arch"]
        return HRMConfig(
            vocab_size=dataset["vocab_size"],
            max_position_embeddings=dataset["seq_len"],
            num_puzzle_identifiers=dataset["num_puzzle_identifiers"],
            pad_token_id=dataset["pad_id"],
            hidden_size=arch["hidden_size"],
            intermediate_size=swiglu_intermediate_size(arch["hidden_size"], arch["expansion"]),
            num_attention_heads=arch["num_heads"],
            H_layers=arch["H_layers"],
            L_layers=arch["L_layers"],
            H_cycles=arch["H_cycles"],
            L_cycles=arch["L_cycles"],
            position_embedding_type=arch["pos_encodings"],
            rope_parameters={"rope_type": "default", "rope_theta": arch.get("rope_theta", 10000.0)},
            rms_norm_eps=arch.get("rms_norm_eps", 1e-5),
            puzzle_emb_ndim=arch["puzzle_emb_ndim"],
            halt_max_steps=arch["halt_max_steps"],
            halt_exploration_prob=arch["halt_exploration_prob"],
            halting="q_learning",
            gradient_depth="last_step",
            token_loss=arch["loss"]["loss_type"].removesuffix("_cross_entropy"),
        )
    except KeyError as error:
        raise ValueError(
            f"The original's configuration has no entry {error}; wanted are the contents of the all_config.yaml and "
            "dataset.json that were written by the run that made the checkpoint."
        ) from error


def load_original(folder: str | os.PathLike, checkpoint: str = "step_0") -> HRMForGridTask:
    """Load a checkpoint of the original code.

    Args:
        folder: holds the checkpoint, `all_config.yaml` and `dataset.json`.
        checkpoint: file name of the state dict in `folder`.

    Returns:
        [`HRMForGridTask`] in float32, in evaluation mode.

    Raises:
        FileNotFoundError: if one of the three files is not there.
        ValueError: if parameters are missing, unknown or of another shape than the configuration says.
    """
    folder = Path(folder)
    for name in (checkpoint, "all_config.yaml", "dataset.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} has no file {name}; wanted is a folder with {checkpoint}, all_config.yaml and dataset.json."
            )
    all_config = yaml.safe_load((folder / "all_config.yaml").read_text())
    dataset = json.loads((folder / "dataset.json").read_text())
    model = HRMForGridTask(config_from_original(all_config, dataset))

    original = torch.load(folder / checkpoint, map_location="cpu", weights_only=True)
    converted = {rename_original_key(key): tensor for key, tensor in original.items()}
    expected = model.state_dict()
    for problem, keys in (
        ("lacks", sorted(expected.keys() - converted.keys())),
        ("has the unexpected", sorted(converted.keys() - expected.keys())),
    ):
        if keys:
            raise ValueError(f"The checkpoint {folder / checkpoint} {problem} {', '.join(keys)}.")
    for key, tensor in converted.items():
        if tensor.shape != expected[key].shape:
            raise ValueError(
                f"{key} has the shape {tuple(tensor.shape)} in {folder / checkpoint}, but its configuration asks for "
                f"{tuple(expected[key].shape)}."
            )
    model.load_state_dict(converted)
    return model.eval()
