"""Checkpoints of TRM, in the layout of its code, as model folders and back; mixed formats and files are refused."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from test_convert import GOLDEN, PREFIX, change, change_arch, logits_of, original_model

from hrm_hf.checkpoints import save_checkpoint
from hrm_hf.original.checkpoint import original_key, read_state_dict, rename_original_key, write_checkpoint
from hrm_hf.original.convert import convert, export, load_original
from hrm_hf.puzzles.arc.evaluation import check_number_of_identifiers
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


CASES = ["trm_attention", "trm_mlp", "trm_no_prefix"]
TRM = {"share_modules": True, "H_layers": 2, "gradient_depth": "last_cycle", "halting": "lean", "puzzle_emb_len": 4}
MLP = {"token_mixer": "mlp", "position_embedding_type": "none"}


def trm_folder(folder: Path, vocab_size: int = 6, seq_len: int = 16, identifiers=None, **changes) -> Path:
    """A checkpoint of a small TRM, by default for 4x4 Sudoku."""
    folder.mkdir()
    write_checkpoint(folder, original_model(vocab_size, seq_len, **(TRM | changes)), identifiers)
    return folder


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return trm_folder(tmp_path / "original")


# --- there and back


@pytest.mark.parametrize("case", CASES)
def test_golden_checkpoints_come_back_bit_for_bit_but_for_the_unused_output(case, tmp_path):
    model = load_original(GOLDEN / case)
    write_checkpoint(tmp_path, model)
    before, after = (torch.load(folder / "step_0", weights_only=True) for folder in (GOLDEN / case, tmp_path))
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype and tensor.shape == after[name].shape
        used = slice(1) if "q_head" in name else slice(None)
        assert torch.equal(tensor[used], after[name][used]), name
    again = load_original(tmp_path)
    assert again.config.to_dict() == model.config.to_dict()
    assert torch.equal(logits_of(again), logits_of(model))
    one, other = (yaml.safe_load((folder / "all_config.yaml").read_text()) for folder in (GOLDEN / case, tmp_path))
    assert one["arch"] | {"expansion": 0} == other["arch"] | {"expansion": 0}
    assert isinstance(other["data_paths"], list) and "data_path" not in other


@pytest.mark.parametrize("changes", [{}, MLP])
def test_names_map_both_ways(changes):
    state_dict = original_model(6, 16, **(TRM | changes)).state_dict()
    for key in state_dict:
        name = original_key(key, "TRM")
        assert rename_original_key(PREFIX + name, "TRM") == key and "H_level" not in name
    assert any("mlp_t" in original_key(key, "TRM") for key in state_dict) == bool(changes)
    with pytest.raises(ValueError, match="'L_level.layers.0.mlp_t.down_proj.weight' is not a parameter"):
        rename_original_key("L_level.layers.0.mlp_t.down_proj.weight", "HRM")


def test_a_converted_model_solves_is_evaluated_and_comes_back(hrm_hf, tmp_path):
    folder = trm_folder(tmp_path / "original", **MLP)
    code, out, err = hrm_hf("convert", folder, "--task", "sudoku", "--out", tmp_path / "model")
    assert code == 0 and "TRM for sudoku 4x4, " in out and "equal bit for bit" in out, err
    card = (tmp_path / "model/README.md").read_text()
    assert "# TRM for Sudoku 4x4" in card and "2510.04871" in card and "second output" in card
    config = HRMForGridTask.from_pretrained(tmp_path / "model").config
    assert (config.token_mixer, config.halting, config.num_prefix_positions) == ("mlp", "lean", 4)

    code, out, _ = hrm_hf("solve", "1.3434.2214343.1", "--model", tmp_path / "model", "--json")
    assert code in (0, 2) and json.loads(out)["segments"] >= 1
    sudoku = ["--size", "4", "--num-train", "4", "--num-test", "3"]
    assert hrm_hf("data", "sudoku", tmp_path / "data", *sudoku)[0] == 0
    code, out, err = hrm_hf("evaluate", tmp_path / "model", tmp_path / "data", "--max-segments", "2")
    assert code == 0 and json.loads(out)["n"] == 3, err

    done = export(str(tmp_path / "model"), tmp_path / "back")
    assert done.family == "TRM"
    before, after = (read_state_dict(place / "step_0") for place in (folder, tmp_path / "back"))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_two_halting_values_are_kept_where_both_are_used(tmp_path):
    folder = trm_folder(tmp_path / "original", halting="q_learning")
    assert yaml.safe_load((folder / "all_config.yaml").read_text())["arch"]["no_ACT_continue"] is False
    model = load_original(folder)
    assert model.config.halting == "q_learning" and model.q_head.weight.shape[0] == 2


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        (
            {},
            "--num-heads and --h-cycles and --l-cycles and --halt-max-steps and --pos-encodings and --puzzle-emb-len.",
        ),
        (MLP, "--h-cycles and --l-cycles and --halt-max-steps."),
        (
            {"puzzle_emb_ndim": 0, "puzzle_emb_len": None, "position_embedding_type": "learned"},
            "--num-heads and --h-cycles and --l-cycles and --halt-max-steps.",
        ),
    ],
)
def test_only_what_tensors_do_not_tell_is_asked_for(hrm_hf, tmp_path, changes, asked):
    folder = trm_folder(tmp_path / "original", **changes)
    expected = logits_of(load_original(folder))
    (folder / "all_config.yaml").unlink()
    arguments = ["convert", folder, "--task", "sudoku", "--out", tmp_path / "model"]
    code, _, err = hrm_hf(*arguments)
    assert code == 1 and f"no all_config.yaml next to it; give {asked}" in err
    known = {"num-heads": 2, "h-cycles": 3, "l-cycles": 2, "halt-max-steps": 4, "pos-encodings": "rope"}
    known["puzzle-emb-len"] = 4
    given = [part for name, value in known.items() if f"--{name}" in asked for part in (f"--{name}", value)]
    code, _, err = hrm_hf(*arguments, *given)
    assert code == 0, err
    assert torch.equal(logits_of(HRMForGridTask.from_pretrained(tmp_path / "model")), expected)


def test_no_positions_are_told_from_rotary_ones(tmp_path):
    folder = trm_folder(tmp_path / "original", position_embedding_type="none")
    model = load_original(folder)
    assert model.config.position_embedding_type == "none" and not hasattr(model.model, "rotary_emb")
    change_arch(folder, pos_encodings="rope")
    assert not torch.equal(logits_of(load_original(folder)), logits_of(model))


# --- puzzle embeddings and names


@pytest.fixture
def arc(tmp_path) -> Path:
    names = {"a": 1, "a_t1_0213456789": 2}
    return trm_folder(tmp_path / "arc", 12, 36, names, num_puzzle_identifiers=3)


def test_names_are_those_of_the_data_sets_here_and_of_trm_there(arc, tmp_path):
    listed = ["<blank>", "a", "a|||t1|||0213456789"]
    assert json.loads((arc / "identifiers.json").read_text()) == listed
    done = convert(str(arc), tmp_path / "model", "arc")
    assert (done.named_identifiers, done.identifiers) == (2, 3)
    names = HRMGridProcessor.from_pretrained(tmp_path / "model").puzzle_identifiers
    assert names == {"a": 1, "a_t1_0213456789": 2}
    (arc / "identifiers.json").write_text(json.dumps([*listed, "b"]))
    with pytest.raises(ValueError, match="There are 4 names of puzzle identifiers, but .* has 3 puzzle embeddings"):
        convert(str(arc), tmp_path / "other", "arc")


def test_puzzle_embeddings_can_be_left_out(hrm_hf, arc, tmp_path):
    whole = load_original(arc)
    arguments = ["convert", arc, "--task", "arc", "--out", tmp_path / "model", "--drop-puzzle-embeddings"]
    code, out, err = hrm_hf(*arguments)
    assert code == 0 and "2 puzzle embeddings left out" in out, err
    assert "The 2 puzzle embeddings are left out" in (tmp_path / "model/README.md").read_text()
    model = HRMForGridTask.from_pretrained(tmp_path / "model")
    processor = HRMGridProcessor.from_pretrained(tmp_path / "model")
    assert model.config.num_puzzle_identifiers == 1 and processor.puzzle_identifiers is None
    input_ids = torch.randint(12, (1, 36))
    with torch.no_grad():
        assert torch.equal(model(input_ids=input_ids).logits, whole(input_ids=input_ids).logits)
    code, _, err = hrm_hf(*arguments[:-2], trm_folder(tmp_path / "sudoku"), "--drop-puzzle-embeddings")
    with pytest.raises(
        ValueError, match="has one puzzle embedding, so there is nothing to drop; leave out --drop-puzzle-embeddings"
    ):
        convert(str(tmp_path / "sudoku"), tmp_path / "other", "sudoku", drop_puzzle_embeddings=True)


def test_puzzle_embeddings_can_be_kept_in_half_precision(hrm_hf, arc, tmp_path):
    from safetensors import safe_open

    code, out, err = hrm_hf(
        *("convert", arc, "--task", "arc", "--out", tmp_path / "model"), "--puzzle-embeddings-dtype", "float16"
    )
    assert code == 0 and "puzzle embeddings rounded to float16, by at most" in out, err
    with safe_open(tmp_path / "model/model.safetensors", "pt") as file:
        dtypes = {name: file.get_slice(name).get_dtype() for name in file.keys()}
    halved = [name for name, dtype in dtypes.items() if dtype == "F16"]
    assert halved == ["model.puzzle_embeddings.weight"] and set(dtypes.values()) == {"F16", "F32"}
    model, whole = HRMForGridTask.from_pretrained(tmp_path / "model"), load_original(arc)
    table = model.model.puzzle_embeddings.weight
    assert table.dtype == torch.float32
    assert torch.equal(table, whole.model.puzzle_embeddings.weight.half().float())
    change(arc, **{"puzzle_emb.weights": torch.full((3, 32), 1e6)})
    with pytest.raises(ValueError, match="value 1e.06, which is too large for torch.float16"):
        convert(str(arc), tmp_path / "other", "arc", puzzle_embeddings_dtype="float16")


def test_identifiers_of_another_data_set_are_an_error_with_counts(hrm_hf, tmp_path):
    """Otherwise they would score near zero, without a warning."""
    from hrm_hf.puzzles.arc.build import build_arc

    pairs = [{"input": [[color, 1]], "output": [[1], [color]]} for color in (3, 5, 7)]
    (tmp_path / "tasks.json").write_text(json.dumps({"turn": {"train": pairs[:2], "test": pairs[2:]}}))
    build_arc(tmp_path / "data", evaluation=[tmp_path / "tasks.json"], num_aug=2)
    nameless = HRMGridProcessor("arc", 30, 30)
    check_number_of_identifiers(str(tmp_path / "data"), nameless, 4)
    check_number_of_identifiers(str(tmp_path / "data"), HRMGridProcessor.for_arc({"turn": 1}), 2)
    model = original_model(12, 900, **TRM, num_puzzle_identifiers=9)
    save_checkpoint(tmp_path / "model", model, nameless)
    code, _, err = hrm_hf("evaluate-arc", tmp_path / "model", tmp_path / "data")
    assert code == 1 and re.search("The model has 9 puzzle identifiers without names, but .* has 4,", err), err


# --- refused input, each with one sentence


def hier6_yaml(folder):
    change_arch(folder, name="recursive_reasoning.trm_hier6@TinyRecursiveReasoningModel_ACTV1")


def singlez_yaml(folder):
    change_arch(folder, name="recursive_reasoning.trm_singlez@TinyRecursiveReasoningModel_ACTV1")


def hier6_tensors(folder):
    change(folder, L_init=None, **{f"L{number}_init": torch.zeros(32) for number in range(1, 7)})


def singlez_tensors(folder):
    change(folder, H_init=None)


def hrm_yaml(folder):
    change_arch(folder, name="hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1")


def average_alone(folder):
    change(folder, **dict.fromkeys(("H_init", "L_init", "puzzle_emb.weights")))


def few_rows(folder):
    content = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(content | {"num_puzzle_identifiers": 7}))


def layer_missing(folder):
    change(folder, **{"L_level.layers.1.mlp.down_proj.weight": None})


def mixed_layers(folder):
    change(folder, **{"L_level.layers.1.mlp_t.down_proj.weight": torch.zeros(20, 256)})


def other_mixing(folder):
    change_arch(folder, mlp_t=True)


def too_short_a_prefix(folder):
    change_arch(folder, hidden_size=32, puzzle_emb_len=-1)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (hier6_yaml, "is the TRM variant trm_hier6, which has six low-level states; only recursive_reasoning.trm"),
        (singlez_yaml, "is the TRM variant trm_singlez, which has a single state; only"),
        (hier6_tensors, "step_0 is the TRM variant trm_hier6"),
        (singlez_tensors, "step_0 is the TRM variant trm_singlez"),
        (hrm_yaml, "all_config.yaml is for HRM, but .* has one network, L_level, as TRM"),
        (average_alone, r"lacks H_init, L_init, puzzle_emb.weights, .* buffers: it has only an average .*\(EMA\)"),
        (few_rows, "says num_puzzle_identifiers 7, but the tensors of the checkpoint have 1"),
        (layer_missing, "lacks L_level.layers.1.mlp.down_proj.weight; it is not a full checkpoint of the original"),
        (mixed_layers, "has L_level.layers.0.self_attn.*, which the original TRM .* does not have"),
        (other_mixing, "says mlp_t True, but the tensors of the checkpoint have False"),
        (too_short_a_prefix, "puzzle_emb_len=-1 is not allowed"),
    ],
)
def test_what_does_not_fit_is_named(hrm_hf, checkpoint, tmp_path, spoil, sentence):
    spoil(checkpoint)
    code, out, err = hrm_hf("convert", checkpoint, "--task", "sudoku", "--out", tmp_path / "model")
    assert (code, out) == (1, "")
    assert re.search(sentence, err) and err.count("\n") == 1, err
    assert [path.name for path in tmp_path.iterdir()] == ["original"]


def test_an_average_alone_is_named_without_all_config_too(checkpoint, hrm_hf, tmp_path):
    average_alone(checkpoint)
    shutil.copy(checkpoint / "step_0", tmp_path / "ema")
    code, _, err = hrm_hf("convert", tmp_path / "ema", "--task", "sudoku", "--out", tmp_path / "model")
    assert code == 1 and "lacks H_init, L_init, which are not parameters but buffers" in err


def test_widths_of_two_factors_are_not_exported(tmp_path):
    with pytest.raises(ValueError, match="intermediate_size=256, 1024 over positions, but the original only has"):
        trm_folder(
            tmp_path / "original", **MLP, token_mixer_intermediate_size=1024, hidden_size=64, puzzle_emb_ndim=64
        )
