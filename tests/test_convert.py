"""Checkpoints of the original code as model folders and back: nothing changes, and bad input is refused."""

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from hub_stand_in import reach, running_hub
from transformers import AutoModel, AutoProcessor

import hrm_hf.original.checkpoint as layout
from configuration_hrm import HRMConfig
from hrm_hf.original.checkpoint import (
    find_checkpoint,
    original_key,
    original_state_dict,
    read_checkpoint,
    read_state_dict,
    rename_original_key,
    write_checkpoint,
)
from hrm_hf.original.convert import convert, export, load_original
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


GOLDEN = Path(__file__).parent / "golden"
CASES = ["rope", "learned_softmax", "no_puzzle_emb", "two_prefix_tokens"]
PREFIX = "_orig_mod.model.inner."


def original_model(vocab_size: int, seq_len: int, **changes) -> HRMForGridTask:
    """A small model like the original's, with initial states in bfloat16 as in the published checkpoints."""
    torch.manual_seed(0)
    options = {"hidden_size": 32, "intermediate_size": 256, "num_attention_heads": 2, "H_layers": 1, "L_layers": 2}
    options |= {"puzzle_emb_ndim": 32, "H_cycles": 3, "halt_max_steps": 4}
    config = HRMConfig(**(options | {"vocab_size": vocab_size, "max_position_embeddings": seq_len} | changes))
    model = HRMForGridTask(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    for state in (model.model.H_init, model.model.L_init):
        state.copy_(state.bfloat16())
    return model.eval()


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """Folder of a checkpoint for 4x4 Sudoku, as the original writes it."""
    folder = tmp_path / "original"
    folder.mkdir()
    write_checkpoint(folder, original_model(6, 16))
    return folder


def logits_of(model: HRMForGridTask) -> torch.Tensor:
    config = model.config
    generator = torch.Generator().manual_seed(5)
    input_ids = torch.randint(config.vocab_size, (3, config.max_position_embeddings), generator=generator)
    identifiers = torch.randint(config.num_puzzle_identifiers, (3,), generator=generator)
    with torch.no_grad():
        return model(input_ids=input_ids, puzzle_identifiers=identifiers).logits


def change(folder: Path, **tensors: torch.Tensor | None):
    """Set tensors of a checkpoint by name, or remove them."""
    state_dict = torch.load(folder / "step_0", weights_only=True)
    for name, tensor in tensors.items():
        state_dict.pop(PREFIX + name, None)
        if tensor is not None:
            state_dict[PREFIX + name] = tensor
    torch.save(state_dict, folder / "step_0")


def change_arch(folder: Path, **entries):
    content = yaml.safe_load((folder / "all_config.yaml").read_text())
    content["arch"] |= entries
    (folder / "all_config.yaml").write_text(yaml.safe_dump(content))


# --- there and back


@pytest.mark.parametrize("case", CASES)
def test_golden_checkpoints_come_back_bit_for_bit(case, tmp_path):
    model = load_original(GOLDEN / case)
    write_checkpoint(tmp_path, model)
    before, after = (torch.load(folder / "step_0", weights_only=True) for folder in (GOLDEN / case, tmp_path))
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype and torch.equal(tensor, after[name]), name
    assert json.loads((tmp_path / "dataset.json").read_text()) == json.loads(
        (GOLDEN / case / "dataset.json").read_text()
    )
    again = load_original(tmp_path)
    assert again.config.to_dict() == model.config.to_dict()
    assert torch.equal(logits_of(again), logits_of(model))
    # all but the factor of the width, because many factors give the same width
    arch_before, arch_after = (
        yaml.safe_load((folder / "all_config.yaml").read_text())["arch"] for folder in (GOLDEN / case, tmp_path)
    )
    assert arch_before | {"expansion": 0} == arch_after | {"expansion": 0}


def test_names_map_both_ways(small_model):
    for key in small_model(position_embedding_type="learned").state_dict():
        assert rename_original_key(PREFIX + original_key(key)) == key
    with pytest.raises(ValueError, match="'model.optimizer' is not a parameter of the original"):
        rename_original_key("model.optimizer")
    with pytest.raises(ValueError, match="no parameter for 'model.embed_positions.row'"):
        original_key("model.embed_positions.row")


def test_a_checkpoint_becomes_a_model_folder_and_comes_back(hrm_hf, checkpoint, tmp_path):
    code, out, _ = hrm_hf("convert", checkpoint, "--task", "sudoku", "--out", tmp_path / "model")
    assert code == 0
    assert "HRM for sudoku 4x4, " in out and "19 tensors and logits of [2, 16, 6] equal bit for bit" in out
    model = AutoModel.from_pretrained(tmp_path / "model", trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(tmp_path / "model", trust_remote_code=True)
    assert (model.config.H_cycles, model.config.halt_max_steps, model.config.halting) == (3, 4, "q_learning")
    assert torch.equal(logits_of(model), logits_of(load_original(checkpoint)))
    assert model.solve(**processor("1...............")).predictions.shape == (1, 16)
    written = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"README.md", "modeling_hrm.py", "processing_hrm.py", "model.safetensors"} <= written
    assert str(tmp_path) not in (tmp_path / "model/README.md").read_text()

    code, out, _ = hrm_hf("export", tmp_path / "model", "--out", tmp_path / "back", "--json")
    assert code == 0 and json.loads(out)["equal_tensors"] == 19
    before, after = (torch.load(folder / "step_0", weights_only=True) for folder in (checkpoint, tmp_path / "back"))
    assert before[PREFIX + "H_init"].dtype == torch.bfloat16
    assert before.keys() == after.keys()
    assert all(
        tensor.dtype == after[name].dtype and torch.equal(tensor, after[name]) for name, tensor in before.items()
    )
    for name in ("all_config.yaml", "dataset.json"):
        assert (checkpoint / name).read_text() == (tmp_path / "back" / name).read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "model", "original"]


def test_the_published_width_is_exported_with_the_published_factor(tmp_path):
    arch = layout.original_arch(original_model(6, 16, hidden_size=512, intermediate_size=1536, num_attention_heads=8))
    assert (arch["expansion"], arch["forward_dtype"], arch["num_heads"]) == (4.0, "bfloat16", 8)
    assert layout.original_arch(original_model(6, 16, intermediate_size=768))["expansion"] == 25.0
    with pytest.raises(ValueError, match="intermediate_size=200, but the original only has multiples of 256"):
        layout.original_arch(original_model(6, 16, intermediate_size=200))


@pytest.mark.parametrize("prefix", ["", "model.inner.", PREFIX])
def test_prefixes_may_be_there_or_not(checkpoint, tmp_path, prefix):
    whole = read_state_dict(checkpoint / "step_0")
    torch.save({prefix + name: tensor for name, tensor in whole.items()}, tmp_path / "other")
    again = read_state_dict(tmp_path / "other")
    assert again.keys() == whole.keys() and all(torch.equal(again[name], whole[name]) for name in whole)


def test_the_newest_step_is_taken(checkpoint):
    for name in ("step_9", "step_10", "step_10_all_preds.0", "notes"):
        shutil.copy(checkpoint / "step_0", checkpoint / name)
    assert find_checkpoint(str(checkpoint)).name == "step_10"
    assert find_checkpoint(str(checkpoint / "step_9")).name == "step_9"
    (checkpoint / "step_0").rename(checkpoint / "checkpoint")
    with pytest.raises(ValueError, match="has both step_10 and checkpoint; give the file"):
        find_checkpoint(str(checkpoint))
    (checkpoint / "step_9").unlink()
    (checkpoint / "step_10").unlink()
    assert find_checkpoint(str(checkpoint)).name == "checkpoint"


def test_only_what_tensors_do_not_tell_is_asked_for(hrm_hf, checkpoint, tmp_path):
    expected = logits_of(load_original(checkpoint))
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(checkpoint / "step_0", bare / "weights")
    arguments = ["convert", bare / "weights", "--task", "sudoku", "--out", tmp_path / "model"]
    code, _, err = hrm_hf(*arguments, "--num-heads", 2)
    assert code == 1
    assert "no all_config.yaml next to it; give --h-cycles and --l-cycles and --halt-max-steps." in err
    known = ["--num-heads", 2, "--h-cycles", 3, "--l-cycles", 2, "--halt-max-steps", 4]
    assert hrm_hf(*arguments, *known)[0] == 0
    assert torch.equal(logits_of(HRMForGridTask.from_pretrained(tmp_path / "model")), expected)
    code, _, err = hrm_hf("convert", checkpoint, *arguments[2:], "--overwrite", "--num-heads", 4)
    assert code == 1 and "--num-heads 4 was given, but" in err and "says 2" in err


def test_learned_positions_tell_the_length(tmp_path):
    shutil.copytree(GOLDEN / "learned_softmax", tmp_path / "golden")
    (tmp_path / "golden/dataset.json").unlink()
    original = read_checkpoint(tmp_path / "golden/step_0")
    assert (original.seq_len, original.sizes.num_positions) == (16, 17)
    (tmp_path / "golden/dataset.json").write_text('{"vocab_size": 11, "seq_len": 17}')
    with pytest.raises(ValueError, match="dataset.json says seq_len 17, but the tensors of the checkpoint have 16"):
        read_checkpoint(tmp_path / "golden/step_0")


def test_the_task_tells_the_length_if_nothing_else_does(checkpoint):
    (checkpoint / "dataset.json").unlink()
    done = convert(str(checkpoint), checkpoint.with_name("model"), "sudoku")
    assert (done.task, done.equal_logits) == ("sudoku 4x4", [2, 16, 6])


def test_arc_identifiers_have_their_names(hrm_hf, tmp_path):
    folder = tmp_path / "arc"
    folder.mkdir()
    model = original_model(12, 900, num_puzzle_identifiers=3, H_cycles=1)
    write_checkpoint(folder, model, {"a": 1, "a|||t1": 2})
    arguments = ["convert", folder, "--task", "arc", "--out", tmp_path / "model"]
    assert hrm_hf(*arguments)[0] == 0
    processor = HRMGridProcessor.from_pretrained(tmp_path / "model")
    assert processor.puzzle_identifiers == {"a": 1, "a|||t1": 2}
    assert processor([[1, 2]], identifiers="a|||t1")["puzzle_identifiers"].tolist() == [2]
    assert "knows 3 puzzle identifiers" in (tmp_path / "model/README.md").read_text()
    export(str(tmp_path / "model"), tmp_path / "back")
    assert json.loads((tmp_path / "back/identifiers.json").read_text()) == ["<blank>", "a", "a|||t1"]

    (tmp_path / "data").mkdir()
    (folder / "identifiers.json").rename(tmp_path / "data/identifiers.json")
    code, out, _ = hrm_hf(*arguments, "--overwrite")
    assert code == 0 and "none of its 3 puzzle identifiers has a name" in out
    assert hrm_hf(*arguments, "--overwrite", "--identifiers", tmp_path / "data")[0] == 0
    (tmp_path / "data/identifiers.json").write_text('["<blank>", "a"]')
    code, _, err = hrm_hf(*arguments, "--overwrite", "--identifiers", tmp_path / "data")
    assert code == 1 and "There are 2 names of puzzle identifiers, but" in err and "has 3 puzzle embeddings" in err
    code, _, err = hrm_hf(*arguments, "--overwrite", "--identifiers", tmp_path / "nowhere")
    assert code == 1 and "There is no file" in err and "dataset_scripts/build_arc.py" in err


def test_arc_identifiers_are_those_of_a_data_set_folder_too(hrm_hf, tmp_path):
    """No builder of this project writes the file identifiers.json."""
    from hrm_hf.puzzles.arc.build import build_arc
    from hrm_hf.puzzles.sets import open_puzzles

    pairs = [{"input": [[color, 1]], "output": [[1], [color]]} for color in (3, 5, 7)]
    (tmp_path / "tasks.json").write_text(json.dumps({"turn": {"train": pairs[:2], "test": pairs[2:]}}))
    build_arc(tmp_path / "data", evaluation=[tmp_path / "tasks.json"], num_aug=2)
    (tmp_path / "arc").mkdir()
    write_checkpoint(tmp_path / "arc", original_model(12, 900, num_puzzle_identifiers=4, H_cycles=1), None)
    code, _, err = hrm_hf(
        *("convert", tmp_path / "arc", "--task", "arc", "--out", tmp_path / "model"),
        *("--identifiers", tmp_path / "data"),
    )
    assert code == 0, err
    found = HRMGridProcessor.from_pretrained(tmp_path / "model").puzzle_identifiers
    names = open_puzzles(str(tmp_path / "data"), "train").processor.puzzle_identifiers
    assert found == {name: number for name, number in names.items() if number} and "turn" in found


def test_a_wrong_map_of_names_is_noticed_and_nothing_is_written(checkpoint, tmp_path, monkeypatch):
    swapped = layout._RENAMES_BACK | {"model.H_init": "L_init", "model.L_init": "H_init"}
    monkeypatch.setattr(layout, "_RENAMES_BACK", swapped)
    with pytest.raises(RuntimeError, match="_init differs after conversion and export"):
        convert(str(checkpoint), tmp_path / "model", "sudoku")
    assert [path.name for path in tmp_path.iterdir()] == ["original"]


# --- refused input, each with one sentence


class MakesAFile:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_pickle_with_code_is_refused_and_nothing_is_run(hrm_hf, checkpoint, tmp_path, form):
    trap = {PREFIX + "H_init": torch.zeros(32), "more": MakesAFile(tmp_path / "trapped")}
    if form == "torch":
        torch.save(trap, checkpoint / "step_0")
    else:
        (checkpoint / "step_0").write_bytes(pickle.dumps(trap))
    code, out, err = hrm_hf("convert", checkpoint, "--task", "sudoku", "--out", tmp_path / "model")
    assert (code, out) == (1, "")
    call = f": loading it would call {os.mkdir.__module__}.mkdir" if form == "torch" else ""
    assert f"contains more than tensors{call}; it is refused and nothing in it was run" in err
    assert err.count("\n") == 1 and "weights_only" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["original"]
    # the trap works
    pickle.loads(pickle.dumps(MakesAFile(tmp_path / "trapped")))
    assert (tmp_path / "trapped").is_dir()


def missing(folder):
    change(folder, **{"q_head.bias": None, "L_level.layers.0.mlp.down_proj.weight": None})


def last_layer_missing(folder):
    weights = [name for name in read_state_dict(folder / "step_0") if name.startswith("L_level.layers.1.")]
    change(folder, **dict.fromkeys(weights))


def extra(folder):
    change(folder, **{"mtp_head.weight": torch.zeros(2, 2)})


def other_shape(folder):
    change(folder, **{"lm_head.weight": torch.zeros(6, 31)})


def other_dimensions(folder):
    change(folder, **{"embed_tokens.embedding_weight": torch.zeros(6)})


def trm(folder):
    high = [name for name in read_state_dict(folder / "step_0") if name.startswith("H_level.")]
    change(folder, **dict.fromkeys(high))


def trm_config(folder):
    change_arch(folder, name="recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1")


def not_finite(folder):
    change(folder, **{"q_head.bias": torch.tensor([0.0, float("nan")])})


def twice(folder):
    state_dict = torch.load(folder / "step_0", weights_only=True)
    torch.save(state_dict | {"q_head.bias": torch.zeros(2)}, folder / "step_0")


def truncated(folder):
    data = (folder / "step_0").read_bytes()
    (folder / "step_0").write_bytes(data[: len(data) // 2])


def a_text(folder):
    (folder / "step_0").write_text("version https://git-lfs.github.com/spec/v1")


def a_list(folder):
    torch.save([torch.zeros(2)], folder / "step_0")


def a_number(folder):
    torch.save({PREFIX + "H_init": torch.zeros(32), "step": 3}, folder / "step_0")


def foreign_yaml(folder):
    (folder / "all_config.yaml").write_text("model:\n  hidden_size: 32\n")


def foreign_model(folder):
    change_arch(folder, name="transformers_baseline@Model_ACTV2")


def no_yaml(folder):
    (folder / "all_config.yaml").write_text("arch: [")


def other_run(folder):
    change_arch(folder, hidden_size=64)


def other_width(folder):
    change_arch(folder, expansion=30.0)


def odd_heads(folder):
    change_arch(folder, num_heads=5)


def other_data(folder):
    (folder / "dataset.json").write_text('{"vocab_size": 11, "seq_len": 16}')


def foreign_data(folder):
    (folder / "dataset.json").write_text('{"name": "sudoku"}')


def another_board(folder):
    (folder / "dataset.json").write_text('{"vocab_size": 6, "seq_len": 81}')


def no_square(folder):
    (folder / "dataset.json").write_text('{"vocab_size": 6, "seq_len": 20}')


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (missing, "lacks L_level.layers.0.mlp.down_proj.weight, q_head.bias;"),
        (last_layer_missing, "lacks L_level.layers.1.mlp.down_proj.weight, .*qkv_proj.weight; it is not a full"),
        (extra, "has mtp_head.weight, which the original HRM .* does not have"),
        (other_shape, r"lm_head.weight has the shape \(6, 31\) .* require \(6, 32\)"),
        (other_dimensions, "embed_tokens.embedding_weight in .* has 1 dimensions; expected 2"),
        (
            trm,
            "all_config.yaml is for HRM, but .* has one network, L_level, as TRM; give files of the same run",
        ),
        (trm_config, "all_config.yaml is for TRM, but .* has two networks, H_level and L_level, as HRM"),
        (not_finite, "q_head.bias in .* has values that are not finite"),
        (twice, "has q_head.bias twice, with different prefixes"),
        (truncated, "step_0 is not a torch checkpoint, is damaged, or contains"),
        (a_text, "step_0 is not a torch checkpoint, is damaged, or contains"),
        (a_list, "is not a state dict but a list"),
        (a_number, "has 'step', which is not a weight"),
        (foreign_yaml, "all_config.yaml is not from the original HRM or TRM: it has no arch.name"),
        (foreign_model, "is for the model Model_ACTV2; only HierarchicalReasoningModel_ACTV1"),
        (no_yaml, "all_config.yaml is not YAML"),
        (other_run, "all_config.yaml says hidden_size 64, but the tensors of the checkpoint have 32"),
        (
            other_width,
            "says expansion 30.0, that is a SwiGLU of width 768, but the tensors of the checkpoint have 256",
        ),
        (odd_heads, "hidden_size=32 is not allowed; it must be a multiple of num_attention_heads, which is 5"),
        (other_data, "dataset.json says vocab_size 11, but the tensors of the checkpoint have 6"),
        (foreign_data, "dataset.json lacks vocab_size or seq_len"),
        (another_board, "has 6 token ids and sequences of 81, so it is not a model for sudoku"),
        (no_square, "is for sequences of 20 tokens, which is not a square board"),
    ],
)
def test_what_does_not_fit_is_named(hrm_hf, checkpoint, tmp_path, spoil, sentence):
    spoil(checkpoint)
    code, out, err = hrm_hf("convert", checkpoint, "--task", "sudoku", "--out", tmp_path / "model")
    assert (code, out) == (1, "")
    assert re.search(sentence, err), err
    assert err.startswith("hrm-hf: ") and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["original"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{checkpoint}"], "does not say what its puzzles are; give --task sudoku, maze or arc"),
        (["{checkpoint}", "--task", "arc"], "so it is not a model for arc"),
        (["./nowhere", "--task", "sudoku"], "There is no ./nowhere; give a checkpoint file, its folder"),
        (["{golden}", "--task", "sudoku"], "has no file named step_N or checkpoint"),
        (["{checkpoint}", "--task", "sudoku", "--revision", "main"], "--revision main is for repositories on the Hub"),
        (["sapientinc/HRM-checkpoint-ARC-2", "--task", "maze"], "is a model for arc, but --task maze was given"),
    ],
)
def test_bad_wishes_are_one_sentence(hrm_hf, checkpoint, tmp_path, arguments, sentence):
    places = {"checkpoint": checkpoint, "golden": GOLDEN}
    arguments = [argument.format(**places) for argument in arguments]
    code, _, err = hrm_hf("convert", *arguments, "--out", tmp_path / "model")
    assert code == 1 and sentence in err and err.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_folders_in_use_stay_as_they_are(hrm_hf, checkpoint, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    for command in (["convert", checkpoint, "--task", "sudoku"], ["export", tmp_path / "model"]):
        code, _, err = hrm_hf(*command, "--out", tmp_path / "mine", "--overwrite")
        assert code == 1 and "mine exists and is not a " in err
        assert hrm_hf(*command, "--out", tmp_path / command[0].replace("convert", "model"))[0] == 0
        code, _, err = hrm_hf(*command, "--out", tmp_path / command[0].replace("convert", "model"))
        assert code == 1 and "folder; give another --out, or --overwrite" in err
    assert (tmp_path / "mine/notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"halting": "lean"}, "halting='lean', but the original HRM only has 'q_learning'"),
        ({"halting_pooling": "mean"}, "halting_pooling='mean', but the original HRM only has 'first'"),
        ({"puzzle_emb_len": 20}, "puzzle_emb_len=20, but the original HRM only has None"),
        ({"num_registers": 1}, "num_registers=1, but"),
        ({"prelude_layers": 1}, "prelude_layers=1, but the original HRM only has 0"),
        ({"coda_layers": 1}, "coda_layers=1, but the original HRM only has 0"),
        ({"input_injection": "scaled"}, "input_injection='scaled', but the original HRM only has 'add'"),
        ({"position_embedding_type": "none"}, "position_embedding_type='none'"),
        (
            {"share_modules": True, "norm_position": "pre"},
            "norm_position='pre', but the original TRM only has 'post'",
        ),
        ({"norm_position": "pre"}, "norm_position='pre', but"),
        ({"position_embedding_type": "grid", "grid_shape": [4, 4]}, "position_embedding_type='grid'"),
    ],
)
def test_what_the_original_cannot_compute_is_not_exported(hrm_hf, tmp_path, changes, sentence):
    model = HRMForGridTask(
        HRMConfig(**({"vocab_size": 6, "max_position_embeddings": 16, "hidden_size": 32} | changes))
    )
    model.save_pretrained(tmp_path / "model")
    HRMGridProcessor.for_sudoku(4).save_pretrained(tmp_path / "model")
    code, _, err = hrm_hf("export", tmp_path / "model", "--out", tmp_path / "out")
    assert code == 1 and sentence in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


# --- repositories on the Hub


@pytest.fixture
def hub(monkeypatch):
    with running_hub(monkeypatch, "models") as hub:
        yield hub


def test_a_repository_of_the_authors_needs_no_task(hrm_hf, hub, tmp_path):
    folder = tmp_path / "sudoku"
    folder.mkdir()
    model = original_model(11, 81)
    write_checkpoint(folder, model)
    files = {name: (folder / name).read_bytes() for name in ("all_config.yaml", "step_0")}
    name = "sapientinc/HRM-checkpoint-sudoku-extreme"
    commit = "1" * 40
    hub.repos[name] = {"private": False, "files": {"README.md": b"soon"}, "commits": []}
    hub.revisions[name] = {
        "2" * 40: {"README.md": b"soon"},
        commit: {
            "checkpoint": files["step_0"],
            "all_config.yaml": files["all_config.yaml"],
            "hrm_act_v1.py": b"1 / 0",
        },
    }
    arguments = ["convert", name, "--out", tmp_path / "model"]
    code, _, err = hrm_hf(*arguments)
    assert code == 1 and "has no file named step_N or checkpoint" in err  # on main
    code, out, err = hrm_hf(*arguments, "--revision", commit)
    assert code == 0 and "HRM for sudoku 9x9" in out, err
    assert not any("hrm_act_v1" in path for _, path in hub.asked)
    card = (tmp_path / "model/README.md").read_text()
    assert f"base_model: {name}" in card and "license: apache-2.0" in card
    assert torch.equal(logits_of(HRMForGridTask.from_pretrained(tmp_path / "model")), logits_of(model))


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_what_the_hub_says_is_one_sentence(hrm_hf, hub, tmp_path, status):
    hub.answers_all_with = status
    code, _, err = hrm_hf("convert", f"me/original-{status}", "--task", "sudoku", "--out", tmp_path / "model")
    assert code == 1 and f"The Hub does not provide me/original-{status} ({status})" in err and err.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_a_hub_out_of_reach_is_one_sentence(hrm_hf, tmp_path, monkeypatch):
    reach(monkeypatch, "http://127.0.0.1:9")
    code, _, err = hrm_hf("convert", "me/nobody", "--task", "sudoku", "--out", tmp_path / "model")
    assert code == 1 and err.count("\n") == 1
    assert "The Hub cannot be reached at http://127.0.0.1:9 to provide me/nobody" in err


def test_names_of_an_exported_state_dict_are_the_originals():
    state_dict = original_state_dict(load_original(GOLDEN / "learned_softmax"))
    assert state_dict.keys() == torch.load(GOLDEN / "learned_softmax/step_0", weights_only=True).keys()
