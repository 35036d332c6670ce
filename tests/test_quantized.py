"""Models whose cache or weights are quantized by other libraries, and models offloaded to disk by them.

Skipped if a library is not installed: optimum-quanto, hqq, torchao, bitsandbytes (docs/clients.md).
"""

import importlib

import pytest
import torch
import transformers
from test_causal_lm import cache_of, make_model
from transformers import QuantizedCache

from hrm_hf.checkpoints import SHIPPED_SUDOKU, SHIPPED_TEXT
from modeling_hrm import HRMForCausalLM, HRMForGridTask
from processing_hrm import HRMGridProcessor


# --- the cache

# backend of the cache: required package, options
CACHES = {
    "fp8": ("transformers", {}),
    "quanto": ("optimum.quanto", {"nbits": 4, "q_group_size": 32, "residual_length": 4}),
    "hqq": ("hqq", {"nbits": 8, "axis_key": 1, "axis_value": 1, "q_group_size": 32, "residual_length": 4}),
}


@pytest.fixture(params=CACHES)
def quantized_cache(request) -> dict:
    """Arguments of a quantized cache, without its configuration."""
    package, options = CACHES[request.param]
    pytest.importorskip(package)
    if request.param == "fp8" and not hasattr(transformers.cache_utils, "Fp8QuantizedLayer"):
        pytest.skip("this transformers has no fp8 cache")
    return {"backend": request.param, **options}


@pytest.fixture
def wide_model() -> HRMForCausalLM:
    """With keys as wide as one group of quantization."""
    return make_model(hidden_size=64)


@torch.no_grad()
def test_a_quantized_cache_changes_little(wide_model, quantized_cache):
    ids = torch.randint(3, 97, (3, 12), generator=torch.Generator().manual_seed(0))
    expected = wide_model(ids, use_cache=False).logits
    cache, parts = QuantizedCache(config=wide_model.config, **quantized_cache), []
    for piece in ids.split((6, 3, 1, 1, 1), dim=1):
        output = wide_model(piece, cache=cache)
        parts.append(output.logits)
        assert cache_of(output) is cache
    assert cache.get_seq_length() == 12
    difference = (torch.cat(parts, dim=1) - expected).abs()
    # nothing has been read from the cache yet; products of fewer positions may be rounded differently
    torch.testing.assert_close(parts[0], expected[:, :6], rtol=1e-4, atol=1e-5)
    assert 0 < difference[:, 6:].mean() < 0.1 * expected.std()


@pytest.mark.parametrize(
    "depth", [{}, {"max_segments": 1}, {"max_segments": 5}, {"halt_threshold": 0.6}, {"num_beams": 2}]
)
def test_generation_with_a_quantized_cache_says_nearly_the_same(wide_model, quantized_cache, depth):
    ids = torch.randint(3, 97, (3, 12), generator=torch.Generator().manual_seed(0))
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0} | depth
    expected = wide_model.generate(ids, **options)
    found = wide_model.generate(ids, cache_implementation="quantized", cache_config=quantized_cache, **options)
    assert found.shape == expected.shape == (3, 20)
    assert (found == expected).float().mean() > 0.8


# --- the weights


def quantization(name: str):
    """Configuration of transformers by the name of a quantization method."""
    package, make = WEIGHTS[name]
    pytest.importorskip(package)
    return make()


def torchao(name: str):
    """A configuration of torchao with the named quantization."""
    return transformers.TorchAoConfig(getattr(importlib.import_module("torchao.quantization"), name)())


WEIGHTS = {
    "torchao, weights": ("torchao", lambda: torchao("Int8WeightOnlyConfig")),
    "torchao, weights and activations": ("torchao", lambda: torchao("Int8DynamicActivationInt8WeightConfig")),
    "quanto": ("optimum.quanto", lambda: transformers.QuantoConfig(weights="int8")),
    "bitsandbytes": ("bitsandbytes", lambda: transformers.BitsAndBytesConfig(load_in_8bit=True)),
}
CANNOT_BE_SAVED = {"quanto"}
PUZZLES = [
    "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..",
    "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79",
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", WEIGHTS)
def test_a_grid_model_with_int8_weights_solves_as_before(tmp_path, name):
    config = quantization(name)
    puzzles = HRMGridProcessor.from_pretrained(SHIPPED_SUDOKU)(PUZZLES, return_tensors="pt")
    expected = HRMForGridTask.from_pretrained(SHIPPED_SUDOKU).solve(**puzzles)
    model = HRMForGridTask.from_pretrained(SHIPPED_SUDOKU, quantization_config=config, device_map="cpu")
    weight = model.model.H_module.layers[0].mlp.down_proj.weight
    assert type(weight) is not torch.nn.Parameter or weight.dtype == torch.int8
    found = model.solve(**puzzles)
    assert torch.equal(found.predictions, expected.predictions) and found.halted.all()
    if name not in CANNOT_BE_SAVED:
        model.save_pretrained(tmp_path)
        again = HRMForGridTask.from_pretrained(tmp_path, device_map="cpu").solve(**puzzles)
        assert torch.equal(again.predictions, found.predictions) and torch.equal(again.segments, found.segments)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", WEIGHTS)
@torch.no_grad()
def test_a_text_model_with_int8_weights_predicts_nearly_the_same(name):
    config = quantization(name)
    ids = torch.randint(3, 500, (4, 16), generator=torch.Generator().manual_seed(0))
    labels = HRMForCausalLM.from_pretrained(SHIPPED_TEXT).generate(ids, max_new_tokens=8, do_sample=False)
    expected = HRMForCausalLM.from_pretrained(SHIPPED_TEXT)(labels, labels=labels)
    model = HRMForCausalLM.from_pretrained(SHIPPED_TEXT, quantization_config=config, device_map="cpu")
    found = model(labels, labels=labels)
    assert 0 < abs(float(found.loss - expected.loss)) < 0.05
    options = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
    assert torch.equal(model.generate(ids, **options), model.generate(ids, use_cache=False, **options))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["torchao, weights", "bitsandbytes"])
def test_lora_learns_beside_int8_weights(name):
    peft, config = pytest.importorskip("peft"), quantization(name)
    model = HRMForCausalLM.from_pretrained(SHIPPED_TEXT, quantization_config=config, device_map="cpu")
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["qkv_proj", "down_proj"], r=4))
    ids = torch.randint(3, 500, (2, 12), generator=torch.Generator().manual_seed(0))
    losses, optimizer = [], torch.optim.Adam([each for each in adapted.parameters() if each.requires_grad], lr=1e-2)
    for _ in range(6):
        loss = adapted(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5


# --- places other than memory


@pytest.mark.parametrize("where", ["cpu_offload", "disk_offload"])
def test_a_model_whose_weights_come_when_they_are_called_computes_the_same(tmp_path, small_model, batch, where):
    import accelerate

    model = small_model(position_embedding_type="grid", grid_shape=[4, 4], halting="lean")
    expected = model.solve(batch["input_ids"], batch["puzzle_identifiers"])
    options = {"execution_device": torch.device("cpu")} | ({"offload_dir": tmp_path} if "disk" in where else {})
    getattr(accelerate, where)(model, **options)
    assert model.lm_head.weight.device.type == "meta"
    found = model.solve(batch["input_ids"], batch["puzzle_identifiers"])
    assert torch.equal(found.predictions, expected.predictions) and torch.equal(found.segments, expected.segments)


def test_a_device_map_may_send_every_block_to_disk(tmp_path, small_model, batch):
    model = small_model(position_embedding_type="grid", grid_shape=[4, 4], halting="lean")
    model.save_pretrained(tmp_path / "model")
    places = dict.fromkeys(("model.embed_tokens", "model.puzzle_embeddings", "model.embed_positions"), "cpu")
    places |= {"lm_head": "cpu", "q_head": "cpu", "model.H_module": "disk", "model.L_module": "disk"}
    split = HRMForGridTask.from_pretrained(tmp_path / "model", device_map=places, offload_folder=tmp_path / "disk")
    assert {weight.device.type for weight in split.model.H_module.parameters()} == {"meta"}
    found, expected = (one.solve(batch["input_ids"], batch["puzzle_identifiers"]) for one in (split, model))
    assert torch.equal(found.predictions, expected.predictions) and torch.equal(found.segments, expected.segments)
