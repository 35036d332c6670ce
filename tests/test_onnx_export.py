"""Exports for clients without this package: torch.export knows our types, ONNX graphs agree with the model."""

import json

import numpy as np
import pytest
import torch

from configuration_hrm import HRMConfig
from hrm_hf.checkpoints import save_checkpoint
from hrm_hf.puzzles import registry
from hrm_hf.puzzles.sudoku.kind import SudokuKind
from modeling_hrm import HRMCarry, HRMForCausalLM, HRMForGridTask, HRMState
from processing_hrm import HRMGridProcessor


SMALL = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "H_layers": 1,
    "L_layers": 1,
    "H_cycles": 2,
    "L_cycles": 1,
    "halt_max_steps": 2,
}
# each kind of position and of halting, and every extra input
KINDS = {
    "sudoku, learned positions, prefix, Q-learning": (
        HRMGridProcessor.for_sudoku(4),
        {"position_embedding_type": "learned", "puzzle_emb_ndim": 64},
    ),
    "sudoku, grid positions": (
        HRMGridProcessor.for_sudoku(4),
        {
            "position_embedding_type": "grid",
            "grid_shape": [4, 4],
            "block_shape": [2, 2],
            "puzzle_emb_ndim": 0,
            "halting": "lean",
            "halting_pooling": "mean",
        },
    ),
    "maze, positions on a board": (
        HRMGridProcessor.for_maze(5, 5),
        {"position_embedding_type": "rope_2d", "grid_shape": [5, 5], "puzzle_emb_ndim": 0, "halting": "lean"},
    ),
    "arc, conditions and roles": (
        HRMGridProcessor("arc", 6, 6),
        {
            "position_embedding_type": "rope_2d",
            "grid_shape": [6, 6],
            "puzzle_emb_ndim": 64,
            "puzzle_emb_placement": "everywhere",
            "condition_sizes": [8, 2],
            "num_token_roles": 10,
            "num_registers": 2,
            "halting": "lean",
        },
    ),
}


def small_model(processor: HRMGridProcessor, changes: dict) -> HRMForGridTask:
    """A random model whose halting values differ between puzzles."""
    torch.manual_seed(0)
    sizes = {"vocab_size": processor.vocab_size, "max_position_embeddings": processor.seq_len}
    model = HRMForGridTask(HRMConfig(**(SMALL | sizes | changes))).eval()
    torch.nn.init.normal_(model.q_head.weight)
    return model


# --- torch.export


def test_a_grid_model_with_its_carry_goes_through_torch_export(tmp_path):
    model = small_model(*KINDS["sudoku, grid positions"])
    input_ids = torch.randint(1, 6, (2, 16))
    carry = model(input_ids=input_ids).carry
    with torch.no_grad():
        program = torch.export.export(model, (), {"input_ids": input_ids, "carry": carry})
        torch.export.save(program, tmp_path / "model.pt2")
        found = torch.export.load(tmp_path / "model.pt2").module()(input_ids=input_ids, carry=carry)
        wanted = model(input_ids=input_ids, carry=carry)
    assert isinstance(found.carry, HRMCarry) and isinstance(found.carry.state, HRMState)
    torch.testing.assert_close(found.logits, wanted.logits)
    torch.testing.assert_close(found.carry.state.z_L, wanted.carry.state.z_L)


def test_a_text_model_goes_through_torch_export():
    sizes = {"vocab_size": 32, "max_position_embeddings": 16, "is_causal": True, "puzzle_emb_ndim": 0}
    model = HRMForCausalLM(HRMConfig(**(SMALL | sizes | {"halting": "lean"}))).eval()
    input_ids = torch.randint(1, 32, (2, 8))
    with torch.no_grad():
        program = torch.export.export(model, (), {"input_ids": input_ids, "use_cache": False})
        found, wanted = (call(input_ids=input_ids, use_cache=False) for call in (program.module(), model))
    torch.testing.assert_close(found.logits, wanted.logits)


# --- ONNX


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The model and the folder of a kind, exported once."""
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"there is no {name}")
    from hrm_hf.export.grid import export_onnx

    made = {}

    def make(kind: str):
        if kind not in made:
            root = tmp_path_factory.mktemp("onnx")
            processor, changes = KINDS[kind]
            model = small_model(processor, changes)
            save_checkpoint(root / "model", model, processor)
            made[kind] = model, root, export_onnx(str(root / "model"), root / "onnx", num_puzzles=5)
        return made[kind]

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_the_float32_graph_does_what_the_model_does_for_any_batch(exported, kind):
    from hrm_hf.export.grid import example_puzzles
    from hrm_hf.export.solver import load_exported

    model, root, done = exported(kind)
    assert done.within_tolerance == 1 and done.equal_boards["float32"] == done.puzzles == 5
    graph, processor = load_exported(root / "onnx")
    puzzles = example_puzzles(model, processor, 7)
    wanted = model.solve(**puzzles, return_history=True)
    found = graph.solve(**puzzles, return_history=True)
    torch.testing.assert_close(found.halt_probability_history, wanted.halt_probability_history, rtol=0, atol=1e-4)
    for name in ("predictions", "segments", "halted", "prediction_history"):
        assert torch.equal(found[name], wanted[name]), name
    one = {name: tensor[3:4] for name, tensor in puzzles.items()}
    assert torch.equal(graph.solve(**one).predictions, found.predictions[3:4])


def test_an_exported_model_keeps_the_kind_of_a_plugin(exported, tmp_path, monkeypatch):
    from hrm_hf.export.grid import export_onnx
    from hrm_hf.export.solver import load_exported

    class Own(SudokuKind):
        name = "own"

    assert load_exported(exported("sudoku, grid positions")[1] / "onnx")[1].kind is None
    monkeypatch.setitem(registry._kinds, "own", Own())
    processor = HRMGridProcessor("sudoku", 4, 4, kind="own")
    save_checkpoint(tmp_path / "model", small_model(processor, KINDS["sudoku, grid positions"][1]), processor)
    export_onnx(str(tmp_path / "model"), tmp_path / "onnx", num_puzzles=2)
    assert load_exported(tmp_path / "onnx")[1].kind == "own"


@pytest.mark.parametrize("kind", KINDS)
def test_the_manifest_names_what_the_graph_has(exported, kind):
    import onnx

    model, root, _ = exported(kind)
    manifest = json.loads((root / "onnx" / "manifest.json").read_text())
    for entry in manifest["files"].values():
        graph = onnx.load(root / "onnx" / entry["name"])
        onnx.checker.check_model(graph, full_check=True)
        # only standard operators, all from an early set
        assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", manifest["opset"])]
        for kind_of_tensor, tensors in (("inputs", graph.graph.input), ("outputs", graph.graph.output)):
            named = {entry["name"]: entry["shape"] for entry in manifest[kind_of_tensor]}
            of_graph = {}
            for tensor in tensors:
                dims = tensor.type.tensor_type.shape.dim
                of_graph[tensor.name] = [dim.dim_param or dim.dim_value for dim in dims]
            assert of_graph == named
    assert len(manifest["alphabet"]) == model.config.vocab_size
    assert np.allclose(manifest["start_states"]["z_L"], model.model.L_init.numpy())


def test_the_answer_of_int8_does_not_depend_on_its_neighbors_in_the_batch(exported):
    from hrm_hf.export.grid import example_puzzles
    from hrm_hf.export.solver import load_exported

    model, root, _ = exported("sudoku, grid positions")
    graph, processor = load_exported(root / "onnx", "int8")
    puzzles = example_puzzles(model, processor, 6)
    together = graph.solve(**puzzles, early_stop=False)
    for row in range(6):
        alone = graph.solve(puzzles["input_ids"][row : row + 1], early_stop=False)
        assert torch.equal(alone.predictions[0], together.predictions[row])
        # the products are integers, so they are equal; sums in float32 may be in another order
        torch.testing.assert_close(alone.halt_probabilities[0], together.halt_probabilities[row], rtol=0, atol=1e-5)


def test_int8_rounds_weights_but_not_heads_and_embeddings(exported):
    import onnx

    model, root, done = exported("sudoku, grid positions")
    graph = onnx.load(root / "onnx" / "model.int8.onnx")
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    matrices = {tuple(array.shape) for array in tensors.values() if array.dtype == np.int8}
    assert matrices == {(64, 192), (64, 64), (64, 128)}  # query, key and value; output, down; gate and up
    embeddings = model.model.embed_tokens.weight.detach().numpy()
    assert any(array.shape == embeddings.shape and np.array_equal(array, embeddings) for array in tensors.values())
    assert done.files["int8"] < 0.6 * done.files["float32"]


def test_a_damaged_graph_is_noticed_before_the_folder_is_there(exported, tmp_path, monkeypatch):
    from hrm_hf.export import graphs, grid

    _, root, _ = exported("sudoku, grid positions")
    save = graphs.save

    def save_damaged(graph, file):
        weight = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * np.float32(1.01)).tobytes()
        save(graph, file)

    monkeypatch.setattr(graphs, "save", save_damaged)
    with pytest.raises(RuntimeError, match="within 0.0001"):
        grid.export_onnx(str(root / "model"), tmp_path / "out", int8=False, num_puzzles=2)
    assert not (tmp_path / "out").exists()


def test_int8_that_solves_fewer_by_more_than_chance_is_refused():
    pytest.importorskip("onnxruntime", reason="there is no onnxruntime")
    from hrm_hf.export.grid import _check_solved

    by_model = np.ones(64, dtype=bool)
    _check_solved(by_model, np.arange(64) >= 2)
    with pytest.raises(RuntimeError, match="54 of 64"):
        _check_solved(by_model, np.arange(64) >= 10)


def test_int8_is_as_good_only_if_it_loses_few_of_many_puzzles():
    from benchmarks.exported import paired

    def differ(lost: int, won: int, n: int) -> dict:
        first, other = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
        other[:lost] = False
        first[n - won :] = False
        return paired(first, other)

    few = differ(lost=3, won=2, n=2000)
    assert (few["lost"], few["won"], few["difference"], few["as_good"]) == (3, 2, -0.0005, True)
    assert few["difference_ci95"][0] < -0.0005 < few["difference_ci95"][1]
    assert not differ(lost=40, won=20, n=2000)["as_good"]  # loses more than chance
    assert not differ(lost=0, won=0, n=100)["as_good"]  # too few to decide


def test_the_command_exports_and_solves(exported, hrm_hf, tmp_path):
    _, root, _ = exported("sudoku, grid positions")
    command = ("export", root / "model", "--format", "onnx", "--out", tmp_path / "out", "--puzzles", 3)
    code, out, err = hrm_hf(*command, "--no-int8")
    assert (code, err) == (0, "") and "3 of 3" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", "model.onnx"]
    code, _, err = hrm_hf(*command)
    assert code == 1 and "--overwrite" in err
    puzzle = "12..34..2143432."
    code, out, err = hrm_hf("solve", puzzle, "--model", tmp_path / "out", "--json")
    assert code in (0, 2), err
    answers = [json.loads(out), json.loads(hrm_hf("solve", puzzle, "--model", root / "model", "--json")[1])]
    for answer in answers:  # for rounding
        answer["halt_probability"] = round(answer["halt_probability"], 4)
    assert answers[0] == answers[1]
    code, _, err = hrm_hf("solve", puzzle, "--model", tmp_path / "out", "--precision", "int8")
    assert code == 1 and "'int8'" in err and "float32" in err


def test_a_model_folder_is_solved_in_int8_by_a_graph_that_is_made_once(exported, hrm_hf, tmp_path, monkeypatch):
    from hrm_hf.export import cached
    from hrm_hf.export.solver import load_exported

    _, root, _ = exported("sudoku, grid positions")
    monkeypatch.setattr(cached, "cached_assets_path", lambda *_, **__: tmp_path / "cache")
    puzzle = "12..34..2143432."
    command = ("solve", puzzle, "--model", root / "model", "--precision", "int8", "--json")
    answers, written = [], []
    for _ in range(2):
        code, out, err = hrm_hf(*command)
        assert code in (0, 2), err
        answers.append(json.loads(out))
        written += [path.stat().st_mtime_ns for path in tmp_path.glob("cache/sudoku-*/model.int8.onnx")]
    assert len(written) == 2 and written[0] == written[1]
    graph, processor = load_exported(root / "onnx", "int8")
    expected = graph.solve(**processor(puzzle))
    assert answers[0] == answers[1] and answers[0]["segments"] == expected.segments.item()
    assert answers[0]["halt_probability"] == pytest.approx(expected.halt_probabilities.item(), abs=1e-5)

    solver = cached.solving_pipeline(str(root / "model"), max_segments=2)
    assert solver(puzzle)["halt_probability"] == pytest.approx(answers[0]["halt_probability"], abs=1e-5)
    assert [answer["segments"] for answer in solver([puzzle, puzzle])] == [expected.segments.item()] * 2
    assert "OnnxGridModel" in repr(solver)


def test_another_model_gets_another_graph(exported):
    from hrm_hf.checkpoints import load_checkpoint
    from hrm_hf.export.cached import _fingerprint

    _, root, _ = exported("sudoku, grid positions")
    model, processor = load_checkpoint(str(root / "model"))
    before = _fingerprint(model, processor)
    assert before == _fingerprint(*load_checkpoint(str(root / "model")))
    with torch.no_grad():
        model.model.H_module.layers[0].mlp.down_proj.weight[0, 0] += 1e-3
    assert _fingerprint(model, processor) != before
    model, processor = load_checkpoint(str(root / "model"))
    model.config.halt_max_steps += 1
    assert _fingerprint(model, processor) != before


def test_what_is_missing_is_said(monkeypatch, exported, tmp_path):
    import sys

    from hrm_hf.export.grid import export_onnx
    from hrm_hf.export.solver import OnnxGridModel

    _, root, _ = exported("sudoku, grid positions")
    with pytest.raises(FileNotFoundError, match="manifest.json"):
        OnnxGridModel(tmp_path)
    graph = OnnxGridModel(root / "onnx")
    for input_ids, options, named in (
        (torch.full((1, 16), 6), {}, "value 6"),
        (torch.ones(1, 9, dtype=torch.long), {}, "9 cells.*4x4"),
        (torch.ones(1, 16, dtype=torch.long), {"grid_shape": (2, 8)}, "grid_shape.*4x4"),
        (torch.ones(1, 16, dtype=torch.long), {"max_segments": 0}, "max_segments=0"),
        (torch.ones(1, 16, dtype=torch.long), {"conditions": torch.ones(1, 2)}, "conditions"),
    ):
        with pytest.raises(ValueError, match=named):
            graph.solve(input_ids, **options)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r"hrm-hf\[onnx\]"):
        export_onnx(str(root / "model"), tmp_path / "out")


# --- text


@pytest.mark.parametrize(
    ("segments", "changes"),
    [(1, {}), (2, {}), (2, {"prelude_layers": 1, "coda_layers": 2, "input_injection": "every_block"})],
    ids=["one segment", "two segments", "repeated core"],
)
def test_a_text_graph_prefills_and_decodes_as_the_model(tmp_path, hrm_hf, segments, changes):
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"there is no {name}")
    import onnx
    import onnxruntime
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "max_position_embeddings": 64, "is_causal": True, "puzzle_emb_ndim": 0}
    config = HRMConfig(**(SMALL | sizes | {"halt_max_steps": segments, "norm_position": "pre"} | changes))
    model = HRMForCausalLM(config).eval()
    words = {f"w{number}": number for number in range(40)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, "w0")), bos_token="w1")
    save_checkpoint(tmp_path / "model", model, tokenizer)
    code, out, err = hrm_hf(
        *("export", tmp_path / "model", "--format", "onnx", "--out", tmp_path / "onnx", "--puzzles", 3, "--json")
    )
    assert code == 0, err
    assert json.loads(out)["equal_texts"]["float32"] == 3
    manifest = json.loads((tmp_path / "onnx" / "manifest.json").read_text())
    assert manifest["slots"] == (7 if changes else 4) * segments and manifest["bos_token_id"] == 1
    assert (tmp_path / "onnx" / "tokenizer.json").is_file()

    # the manifest is enough to generate
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / manifest["files"]["float32"]["name"])
    inputs, outputs = ([entry["name"] for entry in manifest[kind]] for kind in ("inputs", "outputs"))
    _, heads, _, width = manifest["inputs"][1]["shape"]
    prompt = np.random.default_rng(0).integers(0, 40, (2, 7))
    past, tokens, text = [np.zeros((2, heads, 0, width), dtype=np.float32)] * (len(inputs) - 1), prompt, prompt
    for _ in range(6):
        logits, *past = session.run(outputs, dict(zip(inputs, [tokens, *past], strict=True)))
        tokens = logits[:, -1:].argmax(-1)
        text = np.concatenate((text, tokens), axis=1)
    wanted = model.generate(
        torch.from_numpy(prompt),
        attention_mask=torch.ones(2, 7, dtype=torch.long),  # token 0 can occur in a prompt
        do_sample=False,
        max_new_tokens=6,
        eos_token_id=None,
    )
    assert text.tolist() == wanted.tolist()

    # the token head and the embeddings stay float32
    tensors = onnx.load(tmp_path / "onnx" / "model.int8.onnx").graph.initializer
    assert {tuple(tensor.dims) for tensor in tensors if tensor.data_type == onnx.TensorProto.INT8} == {
        (64, 192),
        (64, 64),
        (64, 128),
    }
