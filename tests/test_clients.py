"""Features of transformers: continuous batching, Trainer, device maps, saving repeatedly.

Those of other packages (PEFT, TRL, lm-evaluation-harness) are in test_optional_clients.py.
"""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from test_causal_lm import TEXT, make_model
from transformers import AutoModel, ContinuousBatchingConfig, Trainer, TrainingArguments

from configuration_hrm import HRMConfig
from hrm_hf.checkpoints import SHIPPED_SUDOKU, save_checkpoint
from modeling_hrm import HRMForCausalLM, HRMForGridTask, HRMModel
from processing_hrm import HRMGridProcessor


# by default the pages take most of the memory of the machine
PAGES = {"num_blocks": 64, "max_batch_tokens": 64, "page_size": 16}


def prompts_of(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(3, 97, (length,), generator=generator).tolist() for length in lengths]


# --- continuous batching


def batched(model: HRMForCausalLM, prompts: list[list[int]], **options) -> list[list[int]]:
    outputs = model.generate_batch(prompts, continuous_batching_config=ContinuousBatchingConfig(**PAGES), **options)
    return [list(output.generated_tokens) for output in outputs.values()]


@pytest.mark.parametrize(
    "changes",
    [
        {"halt_max_steps": 1},
        {"halt_max_steps": 2},
        {"halt_max_steps": 1, "attn_implementation": "eager"},
        {"halt_max_steps": 1, "position_embedding_type": "learned"},
        {"halt_max_steps": 2, "prelude_layers": 1, "coda_layers": 1, "input_injection": "every_block"},
    ],
    ids=["one segment", "two segments", "eager", "learned positions", "repeated core"],
)
def test_continuous_batching_generates_what_generate_does(changes):
    model = make_model(**changes)
    prompts = prompts_of(1, 12, 34, 7)  # together longer than the model's maximum
    expected = [
        model.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False)[0, len(prompt) :].tolist()
        for prompt in prompts
    ]
    assert batched(model, prompts, max_new_tokens=8) == expected
    assert len({tuple(tokens) for tokens in expected}) > 2  # not all equal


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_segments": 5}, "3 segments.*max_segments=5"),
        ({"max_segments": 2}, "3 segments.*max_segments=2"),
        ({"early_stop": True}, "early_stop"),
        ({"halt_threshold": 0.5}, "halt_threshold"),
        ({"halt_threshold": 2}, "halt_threshold=2"),
    ],
)
def test_continuous_batching_refuses_another_thinking_depth(options, message):
    with pytest.raises(ValueError, match=message):
        batched(make_model(), [[3, 4]], max_new_tokens=2, **options)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [([[3], []], "prompt is empty"), ([[97]], "input_ids has the value 97"), ([[3] * 49], "49 tokens.*at most 48")],
)
def test_continuous_batching_refuses_a_prompt_that_generate_refuses(prompts, message):
    with pytest.raises(ValueError, match=message):
        batched(make_model(), prompts, max_new_tokens=2)


def test_an_attention_implementation_sees_every_block_call_as_a_layer():
    """Keys and values as in vLLM's backend: one place per `module.layer_idx`."""
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    seen = []

    def attention(module, *args, **kwargs):
        seen.append((module.layer_idx, module.is_causal, module.training, module.config.hidden_size))
        return sdpa_attention_forward(module, *args, **kwargs)

    AttentionInterface.register("watched", attention)
    model = make_model()
    with torch.no_grad():
        expected = model(torch.tensor([[3, 4, 5]]), use_cache=False).logits
        model.set_attn_implementation("watched")
        logits = model(torch.tensor([[3, 4, 5]]), use_cache=False).logits
    assert seen == [(slot, True, False, 32) for slot in range(model.config.num_hidden_layers)]
    torch.testing.assert_close(logits, expected)


# --- device maps


def split_models(folder: Path, model, share: float, tmp_path: Path):
    """The model in a folder, when only a share of its bytes fits into memory."""
    size = sum(parameter.numel() * 4 for parameter in model.parameters())
    return type(model).from_pretrained(
        folder, device_map="auto", max_memory={"cpu": int(size * share)}, offload_folder=tmp_path / "offload"
    )


@pytest.mark.parametrize("share", [0.5, 0.9])
@torch.no_grad()
def test_a_grid_model_that_does_not_fit_into_memory_is_split(tmp_path, small_model, batch, share):
    model = small_model(position_embedding_type="grid", grid_shape=[4, 4], halting="lean")
    model.save_pretrained(tmp_path / "model")
    split = split_models(tmp_path / "model", model, share, tmp_path)
    assert len(split.hf_device_map) > 1 and "disk" in split.hf_device_map.values()
    assert torch.equal(split(batch["input_ids"]).logits, model(batch["input_ids"]).logits)
    solved, expected = split.solve(batch["input_ids"]), model.solve(batch["input_ids"])
    assert torch.equal(solved.predictions, expected.predictions) and torch.equal(solved.segments, expected.segments)


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": True}, {"prelude_layers": 1, "coda_layers": 1, "input_injection": "every_block"}],
    ids=["untied", "tied", "repeated core"],
)
def test_a_text_model_that_does_not_fit_into_memory_is_split(tmp_path, changes):
    model = make_model(**changes)
    model.save_pretrained(tmp_path / "model")
    split = split_models(tmp_path / "model", model, 0.9, tmp_path)
    assert len(split.hf_device_map) > 1 and "disk" in split.hf_device_map.values()
    ids, options = torch.tensor([[3, 4, 5]]), {"max_new_tokens": 6, "do_sample": False, "halt_threshold": 0.6}
    assert torch.equal(split.generate(ids, **options), model.generate(ids, **options))


# --- a folder that is saved again


@pytest.fixture(scope="module")
def grid_folder(tmp_path_factory) -> Path:
    """A random model for 4x4 Sudoku, as this project saves it."""
    folder = tmp_path_factory.mktemp("grid") / "model"
    processor = HRMGridProcessor.for_sudoku(4)
    config = HRMConfig(
        vocab_size=processor.vocab_size,
        max_position_embeddings=16,
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=2,
        H_layers=1,
        L_layers=1,
        puzzle_emb_ndim=0,
        halt_max_steps=2,
    )
    save_checkpoint(folder, HRMForGridTask(config), processor)
    return folder


SAVE_AGAIN = """
import json, sys
from transformers import AutoModel, AutoModelForCausalLM, AutoProcessor, pipeline
grid, text, out = sys.argv[1:]
AutoModel.from_pretrained(grid, trust_remote_code=True).save_pretrained(out)
AutoProcessor.from_pretrained(grid, trust_remote_code=True).save_pretrained(out)
solver = pipeline("grid-solving", model=out, trust_remote_code=True)
features = AutoModel.from_pretrained(text, trust_remote_code=True)
AutoModelForCausalLM.from_pretrained(text, trust_remote_code=True).save_pretrained(out + "-text")
again = AutoModel.from_pretrained(out + "-text", trust_remote_code=True)
print(json.dumps([solver("1.3434.2214343.1")["segments"], type(features).__name__, type(again).__name__]))
"""


def test_a_stranger_saves_a_model_again_with_all_of_its_code(tmp_path, grid_folder):
    make_model(halt_max_steps=1).save_pretrained(tmp_path / "text")
    process = subprocess.run(
        [sys.executable, "-I", "-c", SAVE_AGAIN, str(grid_folder), str(tmp_path / "text"), str(tmp_path / "again")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    segments, features, again = json.loads(process.stdout.splitlines()[-1])
    assert segments in (1, 2) and features == again == "HRMModel"
    names = {"config.json", "configuration_hrm.py", "modeling_hrm.py", "pipeline_hrm.py", "processing_hrm.py"}
    assert names < {path.name for path in (tmp_path / "again").iterdir()}


def test_a_model_of_the_hub_is_saved_with_its_pipeline_as_its_own(tmp_path, grid_folder):
    config = HRMForGridTask.from_pretrained(grid_folder).config
    # like a configuration loaded from the Hub
    config.custom_pipelines["grid-solving"]["impl"] = "owner/name--pipeline_hrm.HRMGridSolvingPipeline"
    config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["custom_pipelines"]["grid-solving"]["impl"] == "pipeline_hrm.HRMGridSolvingPipeline"
    assert (tmp_path / "pipeline_hrm.py").is_file()


def test_a_model_is_saved_into_the_folder_that_it_came_from(tmp_path, grid_folder):
    shutil.copytree(grid_folder, tmp_path / "model")
    model = HRMForGridTask.from_pretrained(tmp_path / "model")
    model.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model/pipeline_hrm.py").read_bytes() == (grid_folder / "pipeline_hrm.py").read_bytes()


def test_code_that_cannot_be_found_is_told(tmp_path, grid_folder, caplog):
    from transformers.utils import logging

    config = HRMForGridTask.from_pretrained(grid_folder).config
    config.custom_pipelines["grid-solving"]["impl"] = "pipeline_lost.Pipeline"
    config.name_or_path = str(tmp_path / "gone")
    logging.get_logger("transformers").propagate = True
    try:
        config.save_pretrained(tmp_path)
    finally:
        logging.get_logger("transformers").propagate = False
    assert "pipeline_lost.py" in caplog.text and "gone" in caplog.text


def test_automodel_of_a_text_folder_gives_features(tmp_path):
    import hrm_hf.auto  # noqa: F401  registers the classes

    make_model().save_pretrained(tmp_path)
    auto_map = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    assert auto_map["AutoModel"] == "modeling_hrm.HRMModel"
    assert auto_map["AutoModelForCausalLM"] == "modeling_hrm.HRMForCausalLM"
    assert type(AutoModel.from_pretrained(tmp_path)) is HRMModel
    assert type(AutoModel.from_pretrained(SHIPPED_SUDOKU)) is HRMForGridTask


# --- Trainer


def trainer_options(folder: Path, **changes) -> TrainingArguments:
    options = {"per_device_train_batch_size": 4, "max_steps": 6, "save_steps": 3, "logging_steps": 1, "seed": 0}
    options |= {"report_to": "none", "disable_tqdm": True, "use_cpu": True, "learning_rate": 1e-2}
    return TrainingArguments(str(folder), **(options | changes))


def rows_of_text(count: int) -> list[dict]:
    ids = torch.arange(count * 12).view(count, 12) % 90 + 3
    return [{"input_ids": row, "labels": row} for row in ids]


def losses_of(trainer: Trainer) -> dict[int, float]:
    return {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}


def test_trainer_learns_resumes_and_accumulates(tmp_path):
    plain = Trainer(make_model(), trainer_options(tmp_path / "plain"), train_dataset=rows_of_text(24))
    plain.train()
    losses = losses_of(plain)
    assert losses[6] < losses[1] - 0.3
    resumed = Trainer(make_model(), trainer_options(tmp_path / "plain"), train_dataset=rows_of_text(24))
    resumed.train(resume_from_checkpoint=str(tmp_path / "plain/checkpoint-3"))
    assert losses_of(resumed) == pytest.approx(losses)
    options = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    parts = Trainer(make_model(), trainer_options(tmp_path / "parts", **options), train_dataset=rows_of_text(24))
    parts.train()
    assert losses_of(parts) == pytest.approx(losses, rel=1e-4)


def test_trainer_gives_logits_to_compute_metrics(tmp_path, small_model, batch, grid_folder):
    seen = []

    def metrics(evaluation) -> dict:
        seen.append((evaluation.predictions.shape, evaluation.label_ids.shape))
        return {"cells": float((evaluation.predictions.argmax(-1) == evaluation.label_ids).mean())}

    rows = [{name: values[row] for name, values in batch.items()} for row in range(6)]
    for model, data, shape in (
        (small_model(), rows, (6, 16, 6)),
        (small_model(halting="lean"), rows, (6, 16, 6)),
        (make_model(), rows_of_text(5), (5, 12, 97)),
    ):
        trainer = Trainer(model, trainer_options(tmp_path), eval_dataset=data, compute_metrics=metrics)
        assert 0 <= trainer.evaluate()["eval_cells"] <= 1
        assert seen.pop() == (shape, shape[:2])


def test_a_checkpoint_of_trainer_is_a_whole_model(tmp_path, grid_folder):
    processor = HRMGridProcessor.from_pretrained(grid_folder)
    puzzle = processor(["1..............."], return_tensors="pt")["input_ids"][0]
    rows = [{"input_ids": puzzle, "labels": puzzle.clamp(min=2)}] * 4
    model = HRMForGridTask.from_pretrained(grid_folder)
    options = trainer_options(tmp_path, max_steps=1, save_steps=1)
    Trainer(model, options, train_dataset=rows).train()
    # Trainer does not accept a processor without a tokenizer, so it has to be saved with the weights
    processor.save_pretrained(tmp_path / "checkpoint-1")
    files = {path.name for path in (tmp_path / "checkpoint-1").iterdir()}
    assert {path.name for path in grid_folder.iterdir()} <= files


def test_texts_of_a_packed_row_do_not_see_each_other():
    """Trainer's collator without padding puts texts into one row, separated by their position ids."""
    from transformers import DataCollatorWithFlattening

    for changes in ({}, {"position_embedding_type": "learned"}):
        model = make_model(**changes)
        texts = prompts_of(5, 30, 20)
        rows = [{"input_ids": ids, "labels": ids} for ids in texts]
        packed = DataCollatorWithFlattening(return_tensors="pt")(rows)
        with torch.no_grad():
            logits = model(**packed, use_cache=False).logits[0]
            alone = torch.cat([model(torch.tensor([ids]), use_cache=False).logits[0] for ids in texts])
        torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-4)


# --- generation


def test_the_number_of_layers_can_be_set_in_whole_segments():
    config = HRMConfig(**TEXT)
    config.num_hidden_layers = 20
    assert (config.halt_max_steps, config.num_hidden_layers) == (2, 20)
    for value in (0, 7, 25):
        with pytest.raises(ValueError, match=f"num_hidden_layers={value}.*multiple of 10"):
            config.num_hidden_layers = value
    grid = HRMConfig()
    grid.num_hidden_layers = grid.calls_per_segment
    with pytest.raises(ValueError, match="num_hidden_layers=48"):
        grid.num_hidden_layers = 48


@pytest.mark.parametrize(
    "options",
    [
        {"assistant_early_exit": 10},
        {"prompt_lookup_num_tokens": 3},
        {"cache_implementation": "static"},
        {"prefill_chunk_size": 5},
    ],
    ids=lambda options: next(iter(options)),
)
def test_faster_ways_to_generate_say_the_same(options):
    model, ids = make_model(), torch.tensor(prompts_of(12))
    expected = model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=None)
    assert torch.equal(model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=None, **options), expected)
    assert model.config.halt_max_steps == 3


def test_an_assistant_says_the_same():
    model, assistant, ids = make_model(), make_model(halt_max_steps=1), torch.tensor(prompts_of(12))
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    assert torch.equal(model.generate(ids, assistant_model=assistant, **options), model.generate(ids, **options))


def test_threads_share_a_model():
    model, prompts = make_model(), prompts_of(4, 9, 16, 23)
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    # each with its own thinking depth
    depths = [{}, {"max_segments": 5}, {"max_segments": 1}, {"halt_threshold": 0.6}]
    expected = [
        model.generate(torch.tensor([ids]), **options, **how) for ids, how in zip(prompts, depths, strict=True)
    ]
    results = [None] * 4

    def run(index: int):
        results[index] = model.generate(torch.tensor([prompts[index]]), **options, **depths[index])

    threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(results, expected, strict=True))


# --- layers that others replace


def test_the_halting_head_returns_a_tensor(small_model):
    for halting, width in (("q_learning", 2), ("lean", 1)):
        model = small_model(halting=halting)
        assert model.q_head(torch.zeros(3, 32)).shape == (3, width)
        assert {name for name in model.state_dict() if "q_head" in name} == {"q_head.weight", "q_head.bias"}


class Wrapped(torch.nn.Module):
    """A layer as replaced by other packages: it contains the layer, but not its attributes."""

    def __init__(self, layer: torch.nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, *args):
        return self.layer(*args)


@torch.no_grad()
def test_every_linear_layer_and_embedding_may_be_wrapped(small_config, small_model, batch):
    everything = {"num_token_roles": 2, "num_registers": 1, "puzzle_emb_placement": "everywhere"}
    everything |= {"puzzle_emb_ndim": 32, "condition_sizes": [2], "position_embedding_type": "rope_2d"}
    everything |= {"grid_shape": [4, 4], "learned_grid_positions": True}
    inputs = {name: batch[name] for name in ("input_ids", "puzzle_identifiers")}
    of_everything = {"conditions": torch.zeros(6, 1, dtype=torch.long), "token_roles": torch.tensor([[0, 1] * 3] * 6)}
    text = {"input_ids": batch["input_ids"]}
    for model, given in (
        (small_model(), inputs),
        (small_model(position_embedding_type="learned"), inputs),
        (small_model(**everything), inputs | of_everything),
        (make_model(position_embedding_type="learned"), text),
    ):
        expected = model(**given).logits
        layers = [*model.named_modules()]
        for name, layer in layers:
            if isinstance(layer, (torch.nn.Linear, torch.nn.Embedding)):
                model.set_submodule(name, Wrapped(layer))
        assert torch.equal(model(**given).logits, expected)
        if isinstance(model, HRMForGridTask):
            model.solve(**given)
        else:
            model.generate(given["input_ids"], max_new_tokens=2, halt_threshold=0.6)
