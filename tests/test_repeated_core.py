"""Blocks that only some cycles repeat (prelude, core, coda), and the input's injection with trained weights."""

import json

import numpy as np
import pytest
import torch
from test_causal_lm import DEPTH_IDS, DEPTHS, cache_of, check_cached, check_causal, make_model
from transformers import DynamicCache

from configuration_hrm import HRMConfig
from hrm_hf.checkpoints import load_weights
from hrm_hf.text.trace import _trace_states
from hrm_hf.training.arguments import TrainArguments
from hrm_hf.training.muon import Muon
from hrm_hf.training.optim import build_optimizers
from modeling_hrm import HRMForCausalLM, HRMInputInjection


MODELS = {
    "prelude": {"prelude_layers": 2},
    "coda": {"coda_layers": 1},
    "core": {"prelude_layers": 1, "coda_layers": 2, "L_layers": 1, "share_modules": True, "norm_position": "pre"},
    "scaled": {"input_injection": "scaled", "halting": "q_learning"},
    "every block": {"input_injection": "every_block", "prelude_layers": 1, "coda_layers": 1, "norm_position": "pre"},
}
EVERY_MODEL = pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS)


def make(changes: dict, **others) -> HRMForCausalLM:
    """A random model whose trained weights of the injection are random, too."""
    model = make_model(**(changes | others))
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, HRMInputInjection):
            module.weight.data += 0.3 * torch.randn(module.weight.shape, generator=generator)
    return model


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(3, 97, (3, 12), generator=torch.Generator().manual_seed(1))


# --- what is computed


def test_a_model_without_these_options_has_the_parameters_that_it_always_had():
    attention = ["self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"]
    blocks = ["H_module.layers.0", "L_module.layers.0", "L_module.layers.1"]
    assert [name for name, _ in make_model().named_parameters()] == [
        "model.embed_tokens.weight",
        *(f"model.{block}.{part}.weight" for block in blocks for part in attention),
        *("lm_head.weight", "q_head.weight", "q_head.bias"),
    ]


def by_hand(model: HRMForCausalLM, ids: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Logits, and z_H after each segment, computed from the blocks alone, without a cache."""
    inner, config = model.model, model.config
    embeddings = inner.embed(ids, None, None)
    length = ids.shape[1]
    mask = torch.full((length, length), -torch.inf, dtype=embeddings.dtype).triu(1)[None, None]
    positions = inner.rotary_emb(embeddings, torch.arange(length)[None])

    def run(stack, x, mixes=(), inputs=None):
        for index, block in enumerate(stack.layers):
            if index < len(mixes):
                x = mixes[index][0] * x + mixes[index][1] * inputs
            x = block(x, attention_mask=mask, position_embeddings=positions)
        return stack.final_norm(x)

    L_mixes = getattr(inner, "L_injection", None)
    H_mixes = getattr(inner, "H_injection", None)
    L_mixes, H_mixes = (() if mixes is None else mixes.weight for mixes in (L_mixes, H_mixes))
    state = inner.initial_state(*ids.shape)
    z_H, z_L, states = state.z_H, state.z_L, []
    for _ in range(config.halt_max_steps):
        inputs = run(inner.prelude, embeddings) if config.prelude_layers else embeddings
        for _ in range(config.H_cycles):
            for _ in range(config.L_cycles):
                added = 0 if len(L_mixes) else inputs
                z_L = run(inner.low_level_module, z_L + z_H + added, L_mixes, inputs)
            z_H = run(inner.H_module, z_H + z_L, H_mixes, inputs)
        states.append(z_H)
    return model.lm_head(run(inner.coda, z_H) if config.coda_layers else z_H), states


@EVERY_MODEL
@torch.no_grad()
def test_a_model_is_prelude_cycles_and_coda(ids, changes):
    """Each segment starts from the states before the coda, and the heads read the coda."""
    model = make(changes).double()
    logits, states = by_hand(model, ids)
    torch.testing.assert_close(model(ids).logits, logits)
    torch.testing.assert_close(model.model(ids, num_segments=2).state.z_H, states[1])


@pytest.mark.parametrize("others", [{}, {"share_modules": True, "L_layers": 1}], ids=["two modules", "one network"])
@pytest.mark.parametrize("norm_position", ["post", "pre"])
@pytest.mark.parametrize("input_injection", ["scaled", "every_block"])
@torch.no_grad()
def test_with_its_initial_weights_the_injection_is_the_sum(ids, input_injection, norm_position, others):
    others = others | {"norm_position": norm_position}
    plain = make_model(**others).double()
    trained = make_model(input_injection=input_injection, **others).double()
    missing, unexpected = trained.load_state_dict(plain.state_dict(), strict=False)
    modules = "L" if input_injection == "scaled" else "LH"
    assert missing == [f"model.{module}_injection.weight" for module in modules] and not unexpected
    torch.testing.assert_close(trained(ids).logits, plain(ids).logits, rtol=1e-9, atol=1e-9)
    for weight in (trained.get_parameter(name) for name in missing):
        for index in range(len(weight)):
            weight[index, 1] += 0.1
            assert not torch.allclose(trained(ids).logits, plain(ids).logits, rtol=1e-4, atol=1e-4)
            weight[index, 1] -= 0.1


def test_a_trained_weight_per_block_and_channel():
    model = make_model(input_injection="every_block", H_layers=3)
    assert model.model.L_injection.weight.shape == (2, 2, 32)
    assert model.model.H_injection.weight.shape == (3, 2, 32)
    assert make_model(input_injection="scaled").model.L_injection.weight.shape == (1, 2, 32)


# --- text


@pytest.mark.parametrize("options", DEPTHS, ids=DEPTH_IDS)
@EVERY_MODEL
@torch.no_grad()
def test_no_position_sees_the_future(ids, changes, options):
    check_causal(make(changes), ids, range(0, 11, 3), **options)


@pytest.mark.parametrize("options", DEPTHS, ids=DEPTH_IDS)
@EVERY_MODEL
@torch.no_grad()
def test_cached_and_uncached_logits_agree(ids, changes, options):
    model = make(changes)
    check_cached(model, ids, DynamicCache(), options)


@pytest.mark.parametrize("segments", [1, 2])
@EVERY_MODEL
def test_generation_with_cache_is_generation_without(changes, segments):
    model = make(changes, halt_max_steps=segments)
    for length in (1, 5, 20):
        prompt = torch.randint(3, 97, (2, length), generator=torch.Generator().manual_seed(length))
        options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}
        assert torch.equal(model.generate(prompt, **options), model.generate(prompt, use_cache=False, **options))


@torch.no_grad()
def test_every_block_call_has_a_slot(ids):
    model = make({"prelude_layers": 2, "coda_layers": 3})
    assert model.config.calls_per_segment == 2 + 2 * (2 * 2 + 1) + 3
    assert model.config.num_hidden_layers == 3 * 15
    output = model(ids, output_hidden_states=True)
    assert len(cache_of(output).layers) == 45 and len(output.hidden_states) == 46
    assert all(layer.keys.shape == (3, 2, 12, 16) for layer in cache_of(output).layers)
    model.config.num_hidden_layers = 30
    assert model.config.halt_max_steps == 2


@pytest.mark.parametrize("norm_position", ["post", "pre"])
@torch.no_grad()
def test_the_trace_of_the_states_is_that_of_the_modules(ids, norm_position):
    model = make({"prelude_layers": 2, "coda_layers": 1, "norm_position": norm_position}, halt_max_steps=2)
    outputs = []
    for name, module in (("H", model.model.H_module), ("L", model.model.L_module)):
        module.register_forward_hook(lambda _, __, output, name=name: outputs.append((name, output[0])))
    output = model(ids[:1], output_hidden_states=True, use_cache=False)
    states = _trace_states(model, output.hidden_states, output.segments[0])
    assert [state.module for state in states] == [name for name, _ in outputs]
    initial = model.model.initial_state(1, 12)
    last = {"H": initial.z_H[0], "L": initial.z_L[0]}
    for state, (name, new) in zip(states, outputs, strict=True):
        changes = (new - last[name]).norm(dim=-1) / last[name].norm(dim=-1)
        torch.testing.assert_close(torch.tensor(state.changes), changes, rtol=1e-3, atol=1e-5)
        last[name] = new
    assert all(np.isfinite(state.norm) for state in states)


# --- training


@pytest.mark.parametrize("gradient_depth", ["last_step", "last_cycle", "all_cycles"])
@EVERY_MODEL
def test_the_gradient_reaches_every_parameter(ids, changes, gradient_depth):
    model = make(changes, gradient_depth=gradient_depth).train()
    model(ids, labels=ids).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        if "injection" in name:  # of the state and of the input, at every block
            assert parameter.grad.flatten(2).any(-1).all(), name
        assert parameter.grad.any(), name


@EVERY_MODEL
def test_gradient_checkpointing_changes_nothing(ids, changes):
    model = make(changes, gradient_depth="all_cycles").train()
    model(ids, labels=ids).loss.backward()
    plain = {name: param.grad.clone() for name, param in model.named_parameters()}
    model.zero_grad()
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    model(ids, labels=ids).loss.backward()
    for name, param in model.named_parameters():
        torch.testing.assert_close(param.grad, plain[name], msg=name)


def test_the_weights_of_the_injection_stay_float32_in_a_bfloat16_computation(ids):
    model, mixed = make(MODELS["every block"]).train(), []
    model.model.L_injection.register_forward_hook(lambda _, __, output: mixed.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(ids, labels=ids)
    output.loss.backward()
    assert output.logits.dtype == torch.bfloat16 and set(mixed) == {torch.bfloat16}
    assert model.model.L_injection.weight.grad.dtype == torch.float32


def test_prelude_and_coda_are_trained_as_blocks_and_the_injection_does_not_decay():
    model = make_model(**MODELS["every block"])
    names = {id(param): name for name, param in model.named_parameters()}
    args = TrainArguments(output_dir="unused", optimizer="muon", weight_decay=0.1)
    adam, muon = build_optimizers(model, args)
    of_muon = {names[id(param)] for group in muon.param_groups for param in group["params"]}
    assert isinstance(muon, Muon)
    assert {f"model.{name}.layers.0.mlp.down_proj.weight" for name in ("prelude", "coda")} <= of_muon
    (spared,) = (group for group in adam.param_groups if group["weight_decay"] == 0)
    assert {names[id(param)] for param in spared["params"]} == {
        "model.L_injection.weight",
        "model.H_injection.weight",
    }


# --- saving


@EVERY_MODEL
@torch.no_grad()
def test_a_saved_model_is_the_same(tmp_path, ids, changes):
    model = make(changes)
    model.save_pretrained(tmp_path)
    loaded = HRMForCausalLM.from_pretrained(tmp_path)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    fields = json.loads((tmp_path / "config.json").read_text())
    assert changes.items() <= fields.items()


def test_weights_of_another_injection_are_refused(tmp_path):
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    make_model().save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, "a"))).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"model.L_injection.weight it has none, expected \(1, 2, 32\)"):
        load_weights(make_model(input_injection="scaled"), str(tmp_path))


# --- puzzles


@pytest.mark.parametrize(
    "changes",
    [
        {"prelude_layers": 1, "coda_layers": 1, "input_injection": "every_block"},
        {"prelude_layers": 1, "coda_layers": 1, "position_embedding_type": "none", "token_mixer": "mlp"},
        {"prelude_layers": 1, "coda_layers": 1, "puzzle_emb_ndim": 32, "puzzle_emb_placement": "everywhere"}
        | {"num_registers": 2},
    ],
    ids=["prefix", "token mixer", "registers"],
)
def test_a_grid_model_has_them_too(small_model, batch, changes):
    model = small_model(**changes)
    read = []
    model.model.coda.register_forward_hook(lambda _, __, output: read.append(output))
    with torch.no_grad():
        output = model(**batch)
    logits, q_halt, _ = model.read_out(read[0])
    assert torch.equal(output.logits, logits) and torch.equal(output.q_halt_logits, q_halt)
    assert not torch.allclose(output.carry.state.z_H, read[0])
    solved = model.solve(batch["input_ids"], batch["puzzle_identifiers"])
    assert solved.predictions.shape == (6, 16)
    model.train()
    output = model(**batch, carry=output.carry)
    output.loss.backward()
    for name in ("prelude", "coda"):
        assert all(param.grad.any() for param in getattr(model.model, name).parameters())


def test_a_configuration_counts_the_calls_of_a_grid_model():
    config = HRMConfig(prelude_layers=1, coda_layers=2)
    assert config.num_hidden_layers == config.calls_per_segment == 24 + 3
