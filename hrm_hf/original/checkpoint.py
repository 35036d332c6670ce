"""Checkpoint folders of the original codes of HRM (sapientinc/HRM) and TRM (SamsungSAILMontreal/TinyRecursiveModels):
reading, checking, writing.

step_N or checkpoint   a state dict; keys are `_orig_mod.model.inner.` and the name, or lack part of the prefix
all_config.yaml        every option of the run; `arch` is the architecture
dataset.json           optional: sizes of the data set, as in the original's data folders
identifiers.json       optional: names of the puzzle identifiers, by number

The tensors tell which of the two models it is, and its sizes: HRM has two networks, H_level and L_level, and TRM has
only L_level. The rest of the architecture (`Settings`) is in all_config.yaml, or has to be given.

TRM's halting head has two outputs, but only the first is used (`no_ACT_continue`); the second is not kept, and is
written with its initial values.
"""

import json
import math
import pickle
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from huggingface_hub import snapshot_download

from configuration_hrm import HRMConfig, swiglu_intermediate_size
from hrm_hf.hub_errors import hub_errors
from hrm_hf.original.layout import read_identifiers, write_identifiers
from hrm_hf.puzzles.arc.plans import BLANK_NAME, parse_plan
from modeling_hrm import HRMForGridTask


# repositories of the authors, and the kind of puzzle of each
OFFICIAL = {
    "sapientinc/HRM-checkpoint-sudoku-extreme": "sudoku",
    "sapientinc/HRM-checkpoint-maze-30x30-hard": "maze",
    "sapientinc/HRM-checkpoint-ARC-2": "arc",
}

Family = Literal["HRM", "TRM"]

# the class named in all_config.yaml: HRM's in any module, TRM's only in this one, because the hybrids trm_hier6 and
# trm_singlez have a class of the same name
_CLASSES: dict[str, Family] = {"HierarchicalReasoningModel_ACTV1": "HRM", "TinyRecursiveReasoningModel_ACTV1": "TRM"}
_TRM_MODULE = "trm"
_ARCH_NAMES: dict[Family, str] = {
    "HRM": "hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1",
    "TRM": "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1",
}
# prefixes of the original's parameter names, outermost wrapper first
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
_RENAMES_BACK = {ours: original for original, ours in _RENAMES.items()}
_OPTIONAL = {"embed_pos.embedding_weight", "puzzle_emb.weights"}
# buffers of the original, not parameters; an average of the parameters (EMA) lacks them
_BUFFERS = {"H_init", "L_init", "puzzle_emb.weights"}
_LAYER = re.compile(r"(H|L)_level\.layers\.(\d+)\.(.+)")
_ATTENTION = ("self_attn.qkv_proj.weight", "self_attn.o_proj.weight")
_TOKEN_MIXER = ("mlp_t.gate_up_proj.weight", "mlp_t.down_proj.weight")
_MLP = ("mlp.gate_up_proj.weight", "mlp.down_proj.weight")
# initial bias of TRM's halting head; its unused second output keeps it
_UNUSED_BIAS = -5.0


@dataclass(frozen=True)
class Settings:
    """What the tensors do not tell about the architecture, with the names of all_config.yaml; `None`: not known."""

    num_heads: int | None = None
    H_cycles: int | None = None
    L_cycles: int | None = None
    halt_max_steps: int | None = None
    pos_encodings: str | None = None
    puzzle_emb_len: int | None = None


@dataclass(frozen=True)
class Sizes:
    """What the tensors tell.

    `num_puzzle_identifiers` is `None` without a puzzle embedding, `token_mixer_intermediate_size` with attention, and
    `num_positions`, prefix included, unless positions are learned or mixed by a SwiGLU.
    """

    family: Family
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    token_mixer_intermediate_size: int | None
    H_layers: int
    L_layers: int
    puzzle_emb_ndim: int
    num_puzzle_identifiers: int | None
    num_positions: int | None
    has_learned_positions: bool

    @property
    def mlp_t(self) -> bool:
        """Whether a SwiGLU mixes positions instead of attention."""
        return self.token_mixer_intermediate_size is not None

    @property
    def num_filled_positions(self) -> int:
        """Prefix positions that the puzzle embedding fills."""
        return math.ceil(self.puzzle_emb_ndim / self.hidden_size)


@dataclass(frozen=True)
class OriginalCheckpoint:
    """A checkpoint that was read and checked.

    Attributes:
        path: of the state dict.
        tensors: by name, without prefix.
        sizes: from the tensors.
        arch: `arch` of all_config.yaml; missing entries were given or are defaults of the published code.
        dataset: contents of dataset.json, `{}` if there is none.
        identifiers: names of the puzzle identifiers by number, `None` if there is no identifiers.json.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    sizes: Sizes
    arch: dict[str, Any]
    dataset: dict[str, Any]
    identifiers: list[str] | None

    @property
    def seq_len(self) -> int | None:
        """Tokens of a sequence, `None` if unknown."""
        return _seq_len(self.sizes, self.arch["puzzle_emb_len"]) or self.dataset.get("seq_len")

    @property
    def has_lean_halting(self) -> bool:
        """Whether only the first output of the halting head is used."""
        return self.sizes.family == "TRM" and self.arch.get("no_ACT_continue", True)

    def config(self, seq_len: int) -> HRMConfig:
        """The configuration, for sequences of `seq_len` tokens; a `ValueError` if it is impossible."""
        sizes, arch, is_trm = self.sizes, self.arch, self.sizes.family == "TRM"
        return HRMConfig(
            vocab_size=sizes.vocab_size,
            max_position_embeddings=seq_len,
            num_puzzle_identifiers=sizes.num_puzzle_identifiers or self.dataset.get("num_puzzle_identifiers", 1),
            pad_token_id=self.dataset.get("pad_id", 0),
            hidden_size=sizes.hidden_size,
            intermediate_size=sizes.intermediate_size,
            num_attention_heads=arch["num_heads"],
            token_mixer="mlp" if sizes.mlp_t else "attention",
            token_mixer_intermediate_size=sizes.token_mixer_intermediate_size,
            H_layers=sizes.L_layers if is_trm else sizes.H_layers,
            L_layers=sizes.L_layers,
            H_cycles=arch["H_cycles"],
            L_cycles=arch["L_cycles"],
            share_modules=is_trm,
            position_embedding_type=arch["pos_encodings"],
            rope_parameters={"rope_type": "default", "rope_theta": arch.get("rope_theta", 10000.0)},
            rms_norm_eps=arch.get("rms_norm_eps", 1e-5),
            puzzle_emb_ndim=sizes.puzzle_emb_ndim,
            puzzle_emb_len=arch["puzzle_emb_len"] or None,
            halt_max_steps=arch["halt_max_steps"],
            halt_exploration_prob=arch.get("halt_exploration_prob", 0.1),
            halting="lean" if self.has_lean_halting else "q_learning",
            gradient_depth="last_cycle" if is_trm else "last_step",
            token_loss=arch.get("loss", {}).get("loss_type", "stablemax_cross_entropy").removesuffix("_cross_entropy"),
        )

    def model(self, seq_len: int) -> HRMForGridTask:
        """The model in float32, in evaluation mode, for sequences of `seq_len` tokens.

        Raises:
            ValueError: if a tensor has a shape that does not fit the rest of the checkpoint.
        """
        model, family = HRMForGridTask(self.config(seq_len)), self.sizes.family
        converted = {
            rename_original_key(name, family): self.used_part(name, tensor) for name, tensor in self.tensors.items()
        }
        for key, expected in model.state_dict().items():
            if converted[key].shape != expected.shape:
                raise ValueError(
                    f"{original_key(key, family)} has the shape {tuple(converted[key].shape)} in {self.path}, but its "
                    f"other tensors and its configuration require {tuple(expected.shape)}."
                )
        model.load_state_dict(converted)
        return model.eval()

    def used_part(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """The part of a tensor that the original uses: of a halting head perhaps only the first output."""
        return tensor[:1] if self.has_lean_halting and name.startswith("q_head.") else tensor

    def without_puzzle_embeddings(self) -> "OriginalCheckpoint":
        """The same with only the row of the blank identifier, and no names.

        Raises:
            ValueError: if there are no other rows.
        """
        if self.sizes.num_puzzle_identifiers in (None, 1):
            raise ValueError(
                f"{self.path} has {'no' if self.sizes.num_puzzle_identifiers is None else 'one'} puzzle embedding, so "
                "there is nothing to drop; leave out --drop-puzzle-embeddings."
            )
        blank_row = self.tensors["puzzle_emb.weights"][:1].clone()
        return replace(
            self,
            tensors=self.tensors | {"puzzle_emb.weights": blank_row},
            sizes=replace(self.sizes, num_puzzle_identifiers=1),
            identifiers=None,
        )

    def with_rounded_puzzle_embeddings(self, dtype: torch.dtype) -> "OriginalCheckpoint":
        """The same with puzzle embeddings rounded to `dtype`.

        Raises:
            ValueError: if there are none, or one is too large for `dtype`.
        """
        table = self.tensors.get("puzzle_emb.weights")
        if table is None:
            raise ValueError(f"{self.path} has no puzzle embeddings; leave out --puzzle-embeddings-dtype.")
        rounded = table.to(dtype).to(table.dtype)
        if not torch.isfinite(rounded).all():
            raise ValueError(
                f"{self.path} has a puzzle embedding with the value {table.abs().max():.3g}, which is too large for "
                f"{dtype}; leave out --puzzle-embeddings-dtype."
            )
        return replace(self, tensors=self.tensors | {"puzzle_emb.weights": rounded})


# --- names


def rename_original_key(key: str, family: Family = "HRM") -> str:
    """Our name for a parameter of the original, given with or without the prefixes of wrappers.

    Raises:
        ValueError: if the original model has no such parameter.
    """
    name = _without_prefix(key)
    if name in _RENAMES:
        return _RENAMES[name]
    layer = _LAYER.fullmatch(name)
    if layer and layer[3] in _layer_weights(family):
        # the one network of TRM, named L there, plays both modules
        module = "H" if family == "TRM" else layer[1]
        return f"model.{module}_module.layers.{layer[2]}.{layer[3].replace('mlp_t.', 'token_mixer.')}"
    raise ValueError(f"{key!r} is not a parameter of the original {family} (ACT version 1); is this its checkpoint?")


def original_key(key: str, family: Family = "HRM") -> str:
    """Name in the original, without prefix, of a parameter of [`HRMForGridTask`]; the inverse of the above.

    Raises:
        ValueError: if the original has no such parameter.
    """
    if key in _RENAMES_BACK:
        return _RENAMES_BACK[key]
    name = key.removeprefix("model.").replace("_module.", "_level.", 1).replace(".token_mixer.", ".mlp_t.")
    if family == "TRM":
        name = name.replace("H_level.", "L_level.", 1)
    layer = _LAYER.fullmatch(name)
    if layer and layer[3] in _layer_weights(family):
        return name
    raise ValueError(f"The original {family} has no parameter for {key!r}.")


def _layer_weights(family: Family) -> tuple[str, ...]:
    """Names of the weights that a layer may have."""
    return _ATTENTION + _MLP + (_TOKEN_MIXER if family == "TRM" else ())


def _without_prefix(key: str) -> str:
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key


# --- finding and reading


def find_checkpoint(checkpoint: str, revision: str | None = None) -> Path:
    """The file of a checkpoint; files of a repository on the Hub are downloaded.

    Args:
        checkpoint: the file, its folder, or a repository on the Hub as `owner/name`.
        revision: branch, tag or commit of the repository.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if a folder has several and it is not clear which is meant.
        OSError: if the Hub does not provide it.
    """
    path = Path(checkpoint).expanduser()
    is_here = path.exists() or path.is_absolute() or checkpoint.startswith(".") or checkpoint.count("/") != 1
    if is_here and revision is not None:
        raise ValueError(
            f"--revision {revision} is for repositories on the Hub, but {checkpoint} is not one; leave it out."
        )
    if not is_here:
        with hub_errors(f"provide {checkpoint}"):
            path = Path(
                snapshot_download(
                    checkpoint,
                    revision=revision,
                    allow_patterns=["checkpoint", "step_*", "all_config.yaml", "dataset.json", "identifiers.json"],
                    ignore_patterns=["*_all_preds*"],  # predictions from an evaluation of the original: gigabytes
                )
            )
    if path.is_file():
        return path
    if is_here and not path.is_dir():
        raise FileNotFoundError(
            f"There is no {checkpoint}; give a checkpoint file, its folder, or a repository on the Hub as owner/name."
        )
    # the folder does not exist if the repository has none of these files
    steps = [file for file in path.glob("*") if re.fullmatch(r"step_\d+", file.name) and file.is_file()]
    newest = max(steps, key=lambda file: int(file.name.removeprefix("step_")), default=None)
    plain = path / "checkpoint"
    if newest and plain.is_file():
        raise ValueError(f"{checkpoint} has both {newest.name} and checkpoint; give the file that you want.")
    if not newest and not plain.is_file():
        raise FileNotFoundError(f"{checkpoint} has no file named step_N or checkpoint; give the file itself.")
    return newest or plain


def read_checkpoint(
    path: Path, settings: Settings | None = None, identifiers: Path | None = None
) -> OriginalCheckpoint:
    """Read a checkpoint and the files next to it, and check that they belong together.

    Args:
        path: the state dict.
        settings: used if there is no all_config.yaml; must not contradict it.
        identifiers: folder with an identifiers.json, or of an ARC data set of `dataset_scripts/`; by default that of
            the checkpoint, if it has one.

    Raises:
        FileNotFoundError: if `path` does not exist, or `identifiers` is not such a folder.
        ValueError: if a file is not from the original HRM or TRM, parameters are missing or unknown, files contradict
            each other, or a setting is needed.
    """
    settings = settings or Settings()
    all_config = path.with_name("all_config.yaml")
    arch = read_arch(all_config) if all_config.is_file() else None
    tensors = read_state_dict(path)
    family = _family(path, tensors, arch)
    _check_names(path, tensors, arch or {}, family)
    sizes = _infer_sizes(path, tensors, family)
    dataset_path = path.with_name("dataset.json")
    dataset = _read_dataset_json(dataset_path) if dataset_path.is_file() else {}
    if arch is not None:
        _check_said(all_config, _said_by_arch(arch, sizes))
    known = _with_settings(path, arch, settings, _known(arch, sizes, dataset), sizes)
    _check_said(
        dataset_path,
        (
            (name, dataset.get(name), value)
            for name, value in (
                ("vocab_size", sizes.vocab_size),
                ("seq_len", _seq_len(sizes, known["puzzle_emb_len"])),
                ("num_puzzle_identifiers", sizes.num_puzzle_identifiers),
            )
        ),
    )
    names = None
    if identifiers is not None or path.with_name("identifiers.json").is_file():
        names = _identifier_names(identifiers or path.parent)
    return OriginalCheckpoint(path, tensors, sizes, known, dataset, names)


def _identifier_names(folder: Path) -> list[str]:
    """Names of the puzzle identifiers, by number, of a data set in the format of the original code or ours."""
    if not any(folder.glob("data/tasks-*.parquet")):
        # TRM writes them with other separators than HRM and our data sets
        return [parse_plan(name).name for name in read_identifiers(folder)]
    from hrm_hf.puzzles.arc.puzzles import SPLITS, load_arc_tasks, load_plans, puzzle_names

    return puzzle_names(load_arc_tasks(folder), [load_plans(folder, split) for split in SPLITS])


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a checkpoint file by name, without prefix. Nothing in the file is run.

    Raises:
        ValueError: if the file contains anything but tensors, is damaged, or has a name twice.
    """
    try:
        state_dict = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        # torch's own message says how to run such a file anyway, which nobody should
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code:
            what = f"contains more than tensors: loading it would call {code[1]}"
        else:
            what = "is not a torch checkpoint, is damaged, or contains more than tensors"
        raise ValueError(
            f"{path} {what}; it is refused and nothing in it was run; give the state dict written by the original."
        ) from error
    if not isinstance(state_dict, dict) or not state_dict:
        raise ValueError(f"{path} is not a state dict but a {type(state_dict).__name__}; give a checkpoint file.")
    tensors = {}
    for key, tensor in state_dict.items():
        if not isinstance(key, str) or not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            raise ValueError(f"{path} has {key!r}, which is not a weight; give a checkpoint that is a state dict.")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{key} in {path} has values that are not finite; that training failed.")
        if _without_prefix(key) in tensors:
            raise ValueError(f"{path} has {_without_prefix(key)} twice, with different prefixes.")
        tensors[_without_prefix(key)] = tensor
    return tensors


def read_arch(path: Path) -> dict[str, Any]:
    """`arch` of an all_config.yaml.

    Raises:
        ValueError: if the file is not YAML, or is from another project or for another model.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML ({' '.join(str(error).split())}).") from error
    arch = content.get("arch") if isinstance(content, dict) else None
    name = arch.get("name") if isinstance(arch, dict) else None
    if not isinstance(name, str) or "@" not in name:
        raise ValueError(
            f"{path} is not from the original HRM or TRM: it has no arch.name that ends in @{' or @'.join(_CLASSES)}; "
            "give the all_config.yaml of the run that made the checkpoint."
        )
    module, _, class_name = name.partition("@")
    if class_name not in _CLASSES:
        raise ValueError(f"{path} is for the model {class_name}; only {' and '.join(_CLASSES)} can be converted.")
    module = module.rpartition(".")[2]
    if _CLASSES[class_name] == "TRM" and module != _TRM_MODULE:
        raise ValueError(_is_a_hybrid(path, module))
    return arch


def _read_dataset_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}).") from error
    if not isinstance(content, dict) or not {"vocab_size", "seq_len"} <= content.keys():
        raise ValueError(f"{path} lacks vocab_size or seq_len; give the dataset.json of the original's data folder.")
    return content


# --- checking


def _family(path: Path, tensors: dict[str, torch.Tensor], arch: dict[str, Any] | None) -> Family:
    """Which model a checkpoint is; a `ValueError` if it is a hybrid, or all_config.yaml is for another model."""
    has_low, has_high = (any(name.startswith(f"{module}_level.") for name in tensors) for module in "LH")
    family: Family = "TRM" if has_low and not has_high else "HRM"
    said = family if arch is None else _CLASSES[arch["name"].partition("@")[2]]
    if said != family:
        has = {"HRM": "two networks, H_level and L_level, as HRM", "TRM": "one network, L_level, as TRM"}
        raise ValueError(
            f"{path.with_name('all_config.yaml')} is for {said}, but {path} has {has[family]}; give files of the same "
            "run."
        )
    if family == "TRM":
        if any(re.fullmatch(r"L\d_init", name) for name in tensors):
            raise ValueError(_is_a_hybrid(path, "trm_hier6"))
        if len({"H_init", "L_init"} & tensors.keys()) == 1:
            raise ValueError(_is_a_hybrid(path, "trm_singlez"))
    return family


def _is_a_hybrid(path: Path, module: str) -> str:
    about = {
        "trm_hier6": ", which has six low-level states",
        "trm_singlez": ", which has a single state",
    }.get(module, "")
    return f"{path} is the TRM variant {module}{about}; only recursive_reasoning.trm can be converted."


def _check_names(path: Path, tensors: dict[str, torch.Tensor], arch: dict[str, Any], family: Family) -> None:
    """Raise a `ValueError` that names missing or unknown parameters."""
    layers = dict.fromkeys("L" if family == "TRM" else "HL", 1)
    mlp_t = family == "TRM" and any(".mlp_t." in name for name in tensors)
    weights = (_TOKEN_MIXER if mlp_t else _ATTENTION) + _MLP
    unknown = []
    for name in tensors:
        layer = _LAYER.fullmatch(name)
        if layer and layer[3] in weights:
            layers[layer[1]] = max(layers[layer[1]], int(layer[2]) + 1)
        elif name not in _RENAMES:
            unknown.append(name)
    if unknown:
        raise ValueError(f"{path} has {_listed(unknown)}, which the original {family} (ACT version 1) does not have.")

    wanted = set(_RENAMES) - _OPTIONAL
    for module, number in layers.items():
        number = max(number, _as_int(arch.get(f"{module}_layers")))
        wanted |= {f"{module}_level.layers.{index}.{weight}" for index in range(number) for weight in weights}
    if _as_int(arch.get("puzzle_emb_ndim")) > 0:
        wanted.add("puzzle_emb.weights")
    if arch.get("pos_encodings") == "learned":
        wanted.add("embed_pos.embedding_weight")
    missing = sorted(wanted - tensors.keys())
    if missing and {"H_init", "L_init"} <= set(missing) <= _BUFFERS:
        raise ValueError(
            f"{path} lacks {_listed(missing)}, which are not parameters but buffers: it has only an average of the "
            f"parameters (EMA); give the checkpoint step_N saved by the original {family}, which has both."
        )
    if missing:
        raise ValueError(f"{path} lacks {_listed(missing)}; it is not a full checkpoint of the original {family}.")


def _infer_sizes(path: Path, tensors: dict[str, torch.Tensor], family: Family) -> Sizes:
    for name, tensor in tensors.items():
        wanted = 1 if name in ("H_init", "L_init", "q_head.bias") else 2
        if tensor.dim() != wanted:
            raise ValueError(f"{name} in {path} has {tensor.dim()} dimensions; expected {wanted}.")
    vocab_size, hidden_size = tensors["embed_tokens.embedding_weight"].shape
    puzzle_emb, positions = (tensors.get(name) for name in ("puzzle_emb.weights", "embed_pos.embedding_weight"))
    mixer = tensors.get("L_level.layers.0.mlp_t.gate_up_proj.weight")
    num_positions = None if positions is None else positions.shape[0]
    return Sizes(
        family=family,
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=tensors["L_level.layers.0.mlp.gate_up_proj.weight"].shape[0] // 2,
        token_mixer_intermediate_size=None if mixer is None else mixer.shape[0] // 2,
        H_layers=sum(name.startswith("H_level.") for name in tensors) // len(_ATTENTION + _MLP),
        L_layers=sum(name.startswith("L_level.") for name in tensors) // len(_ATTENTION + _MLP),
        puzzle_emb_ndim=0 if puzzle_emb is None else puzzle_emb.shape[1],
        num_puzzle_identifiers=None if puzzle_emb is None else puzzle_emb.shape[0],
        num_positions=num_positions if mixer is None else mixer.shape[1],
        has_learned_positions=positions is not None,
    )


def _seq_len(sizes: Sizes, puzzle_emb_len: int) -> int | None:
    """Tokens of a sequence, if the tensors tell: positions that are not prefix."""
    if sizes.num_positions is None:
        return None
    return sizes.num_positions - (puzzle_emb_len or sizes.num_filled_positions)


def _said_by_arch(arch: dict[str, Any], sizes: Sizes) -> Iterable[tuple[str, Any, Any]]:
    # TRM ignores its H_layers
    for name in ("hidden_size", "L_layers", "puzzle_emb_ndim", *(["H_layers"] if sizes.family == "HRM" else [])):
        yield name, arch.get(name), getattr(sizes, name)
    if sizes.family == "TRM":
        yield "mlp_t", arch.get("mlp_t"), sizes.mlp_t
    if (arch.get("pos_encodings") == "learned") != sizes.has_learned_positions:
        yield "pos_encodings", arch.get("pos_encodings"), "learned" if sizes.has_learned_positions else "none learned"
    if isinstance(arch.get("expansion"), (int, float)):
        said = f"expansion {arch['expansion']}, that is a SwiGLU of width"
        yield said, swiglu_intermediate_size(sizes.hidden_size, arch["expansion"]), sizes.intermediate_size
        if sizes.mlp_t:
            width = swiglu_intermediate_size(sizes.num_positions, arch["expansion"])
            yield said.replace("a SwiGLU", "a SwiGLU over positions"), width, sizes.token_mixer_intermediate_size


def _check_said(path: Path, said: Iterable[tuple[str, Any, Any]]) -> None:
    """Raise a `ValueError` at the first `(name, value in the file, value of the tensors)` that differs."""
    for name, there, of_tensors in said:
        if None not in (there, of_tensors) and there != of_tensors:
            raise ValueError(
                f"{path} says {name} {there}, but the tensors of the checkpoint have {of_tensors}; give files of the "
                "same run."
            )


def _known(arch: dict[str, Any] | None, sizes: Sizes, dataset: dict[str, Any]) -> dict[str, Any]:
    """`Settings` as far as all_config.yaml and the tensors tell them, or nothing depends on them."""
    known = {field.name: (arch or {}).get(field.name) for field in fields(Settings)}
    if sizes.family == "HRM":
        known["puzzle_emb_len"] = 0
        known["pos_encodings"] = "learned" if sizes.has_learned_positions else "rope"
        return known
    if sizes.has_learned_positions:
        known["pos_encodings"] = "learned"
    elif sizes.mlp_t or known["pos_encodings"] not in ("rope", None):
        known["pos_encodings"] = "none"  # rotary positions are for attention
    if known["puzzle_emb_len"] is None:
        if sizes.puzzle_emb_ndim == 0:
            known["puzzle_emb_len"] = 0
        elif sizes.num_positions is not None and "seq_len" in dataset:
            known["puzzle_emb_len"] = sizes.num_positions - dataset["seq_len"]
    return known


def _with_settings(
    path: Path, arch: dict[str, Any] | None, settings: Settings, known: dict[str, Any], sizes: Sizes
) -> dict[str, Any]:
    """`arch` with known and given settings; a `ValueError` if they contradict each other or one is missing."""
    asked = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    for name, value in asked.items():
        if None not in (value, known[name]) and value != known[name]:
            said = (
                path.with_name("all_config.yaml")
                if (arch or {}).get(name) is not None
                else f"the {sizes.family} {path}"
            )
            raise ValueError(
                f"{_option(name)} {value} was given, but {said} says {known[name]}; leave the option out."
            )
    merged = {name: known[name] if asked[name] is None else asked[name] for name in asked}
    if sizes.mlp_t and merged["num_heads"] is None:
        merged["num_heads"] = 1  # it has no heads
    missing = [_option(name) for name, value in merged.items() if value is None]
    if missing:
        where = "there is no all_config.yaml next to it" if arch is None else "all_config.yaml lacks the rest"
        raise ValueError(f"The tensors of {path} do not tell everything, and {where}; give {' and '.join(missing)}.")
    return (arch or {}) | merged


def _option(name: str) -> str:
    return f"--{name.lower().replace('_', '-')}"


def _as_int(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _listed(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# --- writing

# options that a run of the original needs, though not part of the model: its defaults
_TRAINING_DEFAULTS = {
    "global_batch_size": 768,
    "epochs": 100000,
    "eval_interval": 10000,
    "lr": 1e-4,
    "lr_min_ratio": 1.0,
    "lr_warmup_steps": 2000,
    "weight_decay": 0.1,
    "beta1": 0.9,
    "beta2": 0.95,
    "puzzle_emb_lr": 1e-2,
    "puzzle_emb_weight_decay": 0.1,
    "seed": 0,
}
_DATA: dict[Family, dict[str, Any]] = {"HRM": {"data_path": "data"}, "TRM": {"data_paths": ["data"]}}
_YAML_HEADER = """\
# Written by hrm-hf export. `arch` is that of the model; the rest are the original's defaults, not how it was trained.
# Set {data} to the folder of data that you want to evaluate on or train with.
"""
# fixed in the originals, with the names of HRMConfig
_FIXED: dict[Family, dict[str, Any]] = {
    "HRM": {"halting": "q_learning", "token_mixer": "attention", "puzzle_emb_len": None},
    "TRM": {},
}
_ALWAYS = {
    "halting_pooling": "first",
    "norm_position": "post",
    "is_causal": False,
    "hidden_act": "silu",
    "puzzle_emb_placement": "prefix",
    "condition_sizes": None,
    "num_registers": 0,
    "prelude_layers": 0,
    "coda_layers": 0,
    "input_injection": "add",
    "pad_loss_weight": 1.0,
}
_POSITIONS: dict[Family, tuple[str, ...]] = {"HRM": ("learned", "rope"), "TRM": ("learned", "rope", "none")}


def family_of(config: HRMConfig) -> Family:
    """Which of the two models a configuration describes: TRM has one network for both states."""
    return "TRM" if config.share_modules else "HRM"


def original_state_dict(model: HRMForGridTask) -> dict[str, torch.Tensor]:
    """Parameters of a model with the names of the original, including the prefix.

    They are float32; the two initial states have the dtype in which the original would compute.
    """
    state_dtype, family = getattr(torch, _forward_dtype(model)), family_of(model.config)
    tensors = {
        original_key(key, family): tensor.to(state_dtype if key.endswith("_init") else torch.float32)
        for key, tensor in model.state_dict().items()
    }
    if model.config.halting == "lean":
        weight, bias = tensors["q_head.weight"], tensors["q_head.bias"]
        tensors["q_head.weight"] = torch.cat((weight, torch.zeros_like(weight)))
        tensors["q_head.bias"] = torch.cat((bias, torch.full_like(bias, _UNUSED_BIAS)))
    return {"".join(_PREFIXES) + name: tensor for name, tensor in tensors.items()}


def original_arch(model: HRMForGridTask) -> dict[str, Any]:
    """`arch` of all_config.yaml for a model.

    Raises:
        ValueError: if the original cannot represent the model.
    """
    config = model.config
    family = family_of(config)
    for name, value in (_FIXED[family] | _ALWAYS).items():
        if getattr(config, name) != value:
            raise ValueError(
                f"The model has {name}={getattr(config, name)!r}, but the original {family} only has {value!r}, so "
                "it cannot be exported."
            )
    positions = _POSITIONS[family]
    if config.position_embedding_type not in positions or config.rope_parameters.get("rope_type") != "default":
        raise ValueError(
            f"The model has position_embedding_type={config.position_embedding_type!r} with rope_parameters="
            f"{config.rope_parameters}, but the original {family} only has {' and '.join(map(repr, positions))} with "
            "plain rotary angles, so it cannot be exported."
        )
    arch = {
        "name": _ARCH_NAMES[family],
        "loss": {"name": "losses@ACTLossHead", "loss_type": f"{config.token_loss}_cross_entropy"},
        "H_cycles": config.H_cycles,
        "H_layers": config.H_layers if family == "HRM" else 0,
        "L_cycles": config.L_cycles,
        "L_layers": config.L_layers,
        "hidden_size": config.hidden_size,
        "expansion": _expansion(config),
        "num_heads": config.num_attention_heads,
        "pos_encodings": config.position_embedding_type,
        "puzzle_emb_ndim": config.puzzle_emb_ndim,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_parameters["rope_theta"],
        "halt_max_steps": config.halt_max_steps,
        "halt_exploration_prob": config.halt_exploration_prob,
        "forward_dtype": _forward_dtype(model),
    }
    if family == "TRM":
        arch |= {
            "mlp_t": config.token_mixer == "mlp",
            "puzzle_emb_len": config.puzzle_emb_len or 0,
            "no_ACT_continue": config.halting == "lean",
        }
    return arch


def write_checkpoint(folder: Path, model: HRMForGridTask, identifiers: dict[str, int] | None = None) -> None:
    """Write step_0, all_config.yaml, dataset.json and, if there are names, identifiers.json.

    Args:
        folder: must exist.
        model: to write.
        identifiers: numbers of puzzle identifiers by name.

    Raises:
        ValueError: as `original_arch`.
    """
    config = model.config
    family = family_of(config)
    content = {"arch": original_arch(model)} | _DATA[family] | _TRAINING_DEFAULTS
    header = _YAML_HEADER.format(data=next(iter(_DATA[family])))
    (folder / "all_config.yaml").write_text(header + yaml.safe_dump(content, sort_keys=False))
    dataset = {
        "vocab_size": config.vocab_size,
        "seq_len": config.max_position_embeddings,
        "num_puzzle_identifiers": config.num_puzzle_identifiers,
        "pad_id": config.pad_token_id,
        "ignore_label_id": 0,
        "blank_identifier_id": 0,
    }
    (folder / "dataset.json").write_text(json.dumps(dataset))
    if identifiers:
        names = {number: parse_plan(name) for name, number in identifiers.items()}
        listed = [BLANK_NAME] * config.num_puzzle_identifiers
        for number, plan in names.items():
            listed[number] = plan.name if family == "HRM" else plan.name_in_trm
        write_identifiers(folder, listed)
    torch.save(original_state_dict(model), folder / "step_0")


def _forward_dtype(model: HRMForGridTask) -> str:
    """The original keeps the initial states in its compute dtype: bfloat16 if that represents them exactly."""
    states = torch.stack([model.model.H_init, model.model.L_init]).float()
    return "bfloat16" if torch.equal(states, states.bfloat16().float()) else "float32"


def _expansion(config: HRMConfig) -> float:
    """An expansion factor that gives the widths of the model's SwiGLUs: the published 4, if possible."""
    widths = {config.hidden_size: config.intermediate_size}
    if config.token_mixer == "mlp":
        widths[config.num_prefix_positions + config.max_position_embeddings] = config.token_mixer_intermediate_size
    exact = max(intermediate_size * 3 / 2 / width for width, intermediate_size in widths.items())
    for expansion in (4.0, *map(float, range(1, math.ceil(exact) + 1)), exact):
        if all(swiglu_intermediate_size(width, expansion) == size for width, size in widths.items()):
            return expansion
    mixer = "" if config.token_mixer == "attention" else f", {config.token_mixer_intermediate_size} over positions"
    raise ValueError(
        f"The model has intermediate_size={config.intermediate_size}{mixer}, but the original only has multiples of "
        "256 that follow from one expansion factor, so it cannot be exported."
    )
