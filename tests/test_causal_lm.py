"""HRMForCausalLM: causality, the cache, thinking depth, losses, every way to generate, saving, bad input."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import Cache, DynamicCache, StaticCache, TextIteratorStreamer

from configuration_hrm import HRMConfig
from modeling_hrm import CACHE_NAME, HRMForCausalLM, HRMForGridTask, HRMModel


TEXT = {
    "vocab_size": 97,
    "max_position_embeddings": 48,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "H_layers": 1,
    "L_layers": 2,
    "is_causal": True,
    "puzzle_emb_ndim": 0,
    "token_loss": "softmax",
    "halt_max_steps": 3,
    "halting": "lean",
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# thinking depth: as trained, less, more, and by the halting head
DEPTHS = [{}, {"max_segments": 1}, {"max_segments": 5}, {"early_stop": True}, {"halt_threshold": 0.6}]
DEPTH_IDS = ["trained", "shallow", "deep", "early stop", "threshold"]


def make_model(**changes) -> HRMForCausalLM:
    """A random model whose halting values differ between tokens: half of them stop at once."""
    torch.manual_seed(0)
    model = HRMForCausalLM(HRMConfig(**(TEXT | changes))).eval()
    if model.q_head is not None:
        torch.nn.init.normal_(model.q_head.weight, std=0.5)
        torch.nn.init.zeros_(model.q_head.bias)
        with torch.no_grad():
            q_halt, q_continue = model.q_values(
                model.model(torch.arange(3, 43)[None], num_segments=1).last_hidden_state
            )
            model.q_head.bias[0] -= (q_halt - (0 if q_continue is None else q_continue)).median()
    return model


def cache_of(output):
    """The cache of an output, under either name in transformers."""
    return getattr(output, CACHE_NAME)


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(3, 97, (3, 12), generator=torch.Generator().manual_seed(1))


def left_padded(ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows of `ids` with 4, 1 and 0 of their first tokens replaced by padding, and the mask."""
    mask = torch.ones_like(ids)
    mask[0, :4] = mask[1, :1] = 0
    return ids.masked_fill(mask == 0, 0), mask


def position_ids_of(mask: torch.Tensor) -> torch.Tensor:
    return (mask.cumsum(-1) - 1).clamp(min=0)


# --- causality


def check_causal(model: HRMForCausalLM, ids: torch.Tensor, positions: range, **options):
    """Outputs at and before each of these positions do not change with the tokens after it, and later ones do."""
    before = model(ids, use_cache=False, **options)
    for position in positions:
        changed = ids.clone()
        changed[:, position + 1 :] = (changed[:, position + 1 :] + 7) % 97
        after = model(changed, use_cache=False, **options)
        for name in ("logits", "q_halt_logits", "segments"):
            assert torch.equal(before[name][:, : position + 1], after[name][:, : position + 1]), (name, position)
        assert not torch.equal(before.logits[:, position + 1 :], after.logits[:, position + 1 :])


@pytest.mark.parametrize("padded", [False, True], ids=["plain", "padded"])
@pytest.mark.parametrize("options", DEPTHS, ids=DEPTH_IDS)
@torch.no_grad()
def test_no_position_sees_the_future(ids, options, padded):
    """Every future token is changed, for every position: logits, halting values and depths do not change."""
    model, mask = make_model(), torch.ones_like(ids)
    if padded:
        ids, mask = left_padded(ids)
    check_causal(model, ids, range(11), attention_mask=mask, **options)


@pytest.mark.parametrize("options", DEPTHS, ids=DEPTH_IDS)
@torch.no_grad()
def test_no_position_of_a_cached_chunk_sees_the_future(ids, options):
    model = make_model()

    def of_chunk(tokens: torch.Tensor):
        cache = DynamicCache()
        model(tokens[:, :5], cache=cache, **options)
        return model(tokens[:, 5:], cache=cache, **options).logits

    before = of_chunk(ids)
    for position in range(5, 11):
        changed = ids.clone()
        changed[:, position + 1 :] = (changed[:, position + 1 :] + 7) % 97
        after = of_chunk(changed)
        assert torch.equal(before[:, : position - 4], after[:, : position - 4])


# --- the cache


def check_cached(model: HRMForCausalLM, ids: torch.Tensor, cache: Cache, options: dict):
    """Left-padded texts in pieces and then token by token, with a cache, against the whole texts without one."""
    ids, mask = left_padded(ids)
    positions = position_ids_of(mask)
    uncached = model(ids, attention_mask=mask, position_ids=positions, use_cache=False, **options)
    logits, segments, start = [], [], 0
    for length in (6, 3, 1, 1, 1):
        end = start + length
        output = model(
            ids[:, start:end],
            attention_mask=mask[:, :end],
            position_ids=positions[:, start:end],
            cache=cache,
            **options,
        )
        logits.append(output.logits)
        segments.append(output.segments)
        start = end
    real = mask.bool()
    torch.testing.assert_close(torch.cat(logits, 1)[real], uncached.logits[real], rtol=1e-4, atol=1e-4)
    assert torch.equal(torch.cat(segments, 1)[real], uncached.segments[real])


@pytest.mark.parametrize("cache_type", ["dynamic", "static"])
@pytest.mark.parametrize("options", DEPTHS, ids=DEPTH_IDS)
@pytest.mark.parametrize(
    "changes",
    [{}, {"H_cycles": 1, "L_cycles": 1}, {"L_cycles": 3, "halting": "q_learning"}, {"norm_position": "pre"}]
    + [{"position_embedding_type": "learned"}],
    ids=["2x2", "1x1", "2x3", "pre-norm", "learned"],
)
@torch.no_grad()
def test_cached_and_uncached_logits_agree(ids, changes, options, cache_type):
    """Chunked prefill, then token by token, with left padding."""
    model = make_model(**changes)
    cache = DynamicCache()
    if cache_type == "static":
        slots = model.config.to_dict() | {"halt_max_steps": options.get("max_segments", 3)}
        cache = StaticCache(config=HRMConfig(**slots), max_cache_len=16)
    check_cached(model, ids, cache, options)


@pytest.mark.parametrize("options", DEPTHS, ids=DEPTH_IDS)
@torch.no_grad()
def test_left_padding_changes_nothing(ids, options):
    model = make_model()
    padded, mask = left_padded(ids)
    together = model(padded, attention_mask=mask, position_ids=position_ids_of(mask), **options)
    for row, start in enumerate((4, 1, 0)):
        alone = model(ids[row : row + 1, start:], **options)
        torch.testing.assert_close(together.logits[row, start:], alone.logits[0], rtol=1e-4, atol=1e-4)
        assert torch.equal(together.segments[row, start:], alone.segments[0])


@torch.no_grad()
def test_every_block_call_has_a_slot(ids):
    model = make_model()
    assert model.config.num_hidden_layers == 3 * 2 * (2 * 2 + 1)
    by_default = cache_of(model(ids))
    by_config = cache_of(model(ids, cache=DynamicCache(config=model.config)))
    for cache in (by_default, by_config):
        assert len(cache.layers) == model.config.num_hidden_layers
        assert all(layer.keys.shape == (3, 2, 12, 16) for layer in cache.layers)
    assert len(cache_of(model(ids, max_segments=4)).layers) == 40
    assert cache_of(model.train()(ids)) is None


@torch.no_grad()
def test_one_decoding_step_compiles(ids):
    model = make_model()
    cache = StaticCache(config=model.config, max_cache_len=16)
    eager = model(ids).logits[:, -1]
    model(ids[:, :-1], cache=cache)
    step = torch.compile(model, fullgraph=True, backend="aot_eager")
    compiled = step(ids[:, -1:], position_ids=torch.tensor([[11]]), cache=cache).logits[:, -1]
    torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-4)


# --- thinking depth


@torch.no_grad()
def test_a_stopped_position_keeps_state_keys_and_values(ids):
    """The definition in HRMFrozenPositions, computed one position at a time."""
    model = make_model()
    output = model(ids, early_stop=True)
    assert 1 < len(output.segments.unique())
    calls = model.config.calls_per_segment
    slots = cache_of(output).layers
    for slot, (layer, deeper) in enumerate(zip(slots[:-calls], slots[calls:], strict=True)):
        segment = slot // calls + 1
        sits_out = (output.segments <= segment)[:, None, :, None].expand_as(layer.keys)
        assert torch.equal(layer.keys[sits_out], deeper.keys[sits_out])
        assert torch.equal(layer.values[sits_out], deeper.values[sits_out])
        assert not torch.equal(layer.keys[~sits_out], deeper.keys[~sits_out])
    # a position that stops after its first segment has the logits of one segment, if all before it do too
    first = output.segments.cumsum(1) == torch.arange(1, 13)
    torch.testing.assert_close(output.logits[first], model(ids, max_segments=1).logits[first], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_early_stop_saves_the_segments_that_all_sit_out(ids):
    model = make_model()
    calls = []
    model.model.L_module.layers[0].register_forward_hook(lambda *_: calls.append(1))
    sure = model(ids, halt_threshold=0.0)
    assert len(calls) == 4  # H_cycles * L_cycles calls in one segment
    assert (sure.segments == 1).all()
    assert len(cache_of(sure).layers) == model.config.num_hidden_layers
    calls.clear()
    never = model(ids, halt_threshold=1.0)
    assert len(calls) == 12
    assert torch.equal(never.logits, model(ids).logits)
    assert (never.segments == 3).all()


@pytest.mark.parametrize("halting", ["lean", "q_learning"])
@torch.no_grad()
def test_early_stop_follows_the_halting_head(ids, halting):
    model = make_model(halting=halting)
    output = model(ids, early_stop=True, max_segments=2)
    z_H = model.model(ids, num_segments=1).last_hidden_state
    q_halt, q_continue = model.q_values(z_H)
    wants = q_halt > (0 if q_continue is None else q_continue)
    assert torch.equal(output.segments == 1, wants)


@torch.no_grad()
def test_depth_is_reported_for_generated_text(ids):
    model = make_model()
    sequences = model.generate(ids, max_new_tokens=4, early_stop=True, do_sample=False, eos_token_id=None)
    report = model(sequences, early_stop=True).segments
    assert report.shape == (3, 16)
    assert set(report.unique().tolist()) <= {1, 2, 3}


# --- losses


def test_loss_of_one_segment_is_the_cross_entropy_by_hand(ids):
    model = make_model(halt_max_steps=1)
    labels = ids.clone()
    labels[0, 5:] = -100
    output = model(ids, labels=labels)
    log_p = output.logits.log_softmax(-1)
    losses = [
        -log_p[row, position, labels[row, position + 1]].item()
        for row in range(3)
        for position in range(11)
        if labels[row, position + 1] != -100
    ]
    assert output.loss.item() == output.lm_loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert output.q_halt_loss is None and model.q_head is None


@pytest.mark.parametrize("halting", ["lean", "q_learning"])
def test_deep_supervision_by_hand(ids, halting):
    model = make_model(halting=halting).train()
    output = model(ids, labels=ids)
    state, lm, halt, cont, values = None, [], [], [], []
    for _ in range(3):
        inner = model.model(ids, state=state, num_segments=1)
        state = inner.state
        logits = model.lm_head(inner.last_hidden_state)
        q_values = torch.nn.functional.linear(inner.last_hidden_state, model.q_head.weight, model.q_head.bias)
        lm.append(torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item())
        p_halt = q_values[:, :-1, 0].sigmoid()
        right = logits[:, :-1].argmax(-1) == ids[:, 1:]
        halt.append(-torch.where(right, p_halt, 1 - p_halt).log().mean().item())
        values.append(q_values[:, :-1])
    if halting == "q_learning":
        targets = [values[1].amax(-1).sigmoid(), values[2][..., 0].sigmoid()]  # the last segment can only halt
        for value, target in zip(values[:2], targets, strict=True):
            p = value[..., 1].sigmoid()
            cont.append(-(target * p.log() + (1 - target) * (1 - p).log()).mean().item())
        assert output.q_continue_loss.item() == pytest.approx(sum(cont) / 2, rel=1e-4)
    assert output.lm_loss.item() == pytest.approx(lm[-1], rel=1e-5)
    assert output.q_halt_loss.item() == pytest.approx(sum(halt) / 3, rel=1e-4)
    expected = sum(lm) / 3 + 0.5 * sum(halt) / 3 + (0.5 * sum(cont) / 2 if cont else 0)
    assert output.loss.item() == pytest.approx(expected, rel=1e-4)


def test_segments_are_detached_from_each_other(ids):
    """The gradient of three segments is the mean of three that start from fixed states."""
    model = make_model().train()
    model(ids, labels=ids).loss.backward()
    together = {name: param.grad.clone() for name, param in model.named_parameters()}
    model.zero_grad()
    state = None
    for _ in range(3):
        inner = model.model(ids, state=state, num_segments=1)
        state = inner.state
        logits = model.token_logits(inner.last_hidden_state)[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        right = (logits.argmax(-1) == ids[:, 1:]).float()
        q_halt, _ = model.q_values(inner.last_hidden_state)
        halt_loss = torch.nn.functional.binary_cross_entropy_with_logits(q_halt[:, :-1], right)
        ((loss + 0.5 * halt_loss) / 3).backward()
    for name, param in model.named_parameters():
        torch.testing.assert_close(together[name], param.grad, msg=name, rtol=1e-4, atol=1e-6)


def test_num_items_in_batch_divides_the_sum(ids):
    model = make_model()
    mean, half = model(ids, labels=ids), model(ids, labels=ids, num_items_in_batch=66)
    assert half.loss.item() == pytest.approx(mean.loss.item() / 2, rel=1e-5)


def test_logits_of_a_stablemax_model_are_a_softmax_of_its_probabilities(ids):
    model = make_model(token_loss="stablemax")
    with torch.no_grad():
        scores = model.lm_head(model.model(ids).last_hidden_state)
        probabilities = model(ids).logits.softmax(-1)
    stable = torch.where(scores < 0, 1 / (1 - scores), scores + 1)
    torch.testing.assert_close(probabilities, stable / stable.sum(-1, keepdim=True))


@pytest.mark.parametrize("gradient_depth", ["last_step", "last_cycle", "all_cycles"])
def test_gradient_depth(ids, gradient_depth):
    """Which block calls record a graph; `all_cycles` is plain back-propagation."""
    model = make_model(gradient_depth=gradient_depth, halt_max_steps=1).train()
    recorded = []
    for module in (model.model.L_module, model.model.H_module):
        module.register_forward_hook(lambda _, __, output: recorded.append(output.requires_grad))
    model(ids, labels=ids).loss.backward()
    expected = {
        "last_step": [False, False, False, False, True, True],
        "last_cycle": [False, False, False, True, True, True],
        "all_cycles": [True] * 6,
    }
    assert recorded == expected[gradient_depth]


def test_the_input_of_the_modules_has_unit_variance():
    torch.manual_seed(0)
    model = HRMForCausalLM(HRMConfig(**(TEXT | {"vocab_size": 2000, "hidden_size": 128})))
    model.resize_token_embeddings(2010, mean_resizing=False)
    for tokens in (torch.arange(2000), torch.arange(2000, 2010)):
        assert model.model.embed(tokens[None], None, None).std().item() == pytest.approx(1, abs=0.1)


# --- generation


@pytest.mark.parametrize("depth", DEPTHS, ids=DEPTH_IDS)
@pytest.mark.parametrize(
    "mode",
    [
        {"do_sample": False},
        {"do_sample": True, "temperature": 0.8},
        {"do_sample": True, "top_k": 5},
        {"do_sample": True, "top_p": 0.9},
        {"do_sample": True, "top_p": 1.0},
        {"do_sample": True, "min_p": 0.02},
        {"num_beams": 3, "do_sample": False},
        {"num_beams": 2, "do_sample": True},
        {"do_sample": False, "cache_implementation": "static"},
        {"do_sample": False, "prompt_lookup_num_tokens": 2, "eos_token_id": 0},
    ],
    ids=["greedy", "temperature", "top-k", "top-p", "top-p 1", "min-p", "beams", "beam sampling", "static", "lookup"],
)
def test_generation_with_cache_is_generation_without(ids, mode, depth):
    model = make_model()
    ids, mask = left_padded(ids)
    if "prompt_lookup_num_tokens" in mode:  # one text at a time
        ids, mask = ids[2:], mask[2:]
    options = {"attention_mask": mask, "max_new_tokens": 5, "pad_token_id": 0, "eos_token_id": None} | depth | mode
    torch.manual_seed(3)
    cached = model.generate(ids, **options)
    for needs_cache in ("cache_implementation", "prompt_lookup_num_tokens"):
        options.pop(needs_cache, None)
    torch.manual_seed(3)
    uncached = model.generate(ids, use_cache=False, **options)
    assert cached.shape[0] == len(ids) and 12 < cached.shape[1] <= 17
    assert torch.equal(cached, uncached)


def test_greedy_generation_is_the_argmax_of_the_logits(ids):
    model = make_model()
    text = ids
    for _ in range(4):
        with torch.no_grad():
            text = torch.cat((text, model(text, use_cache=False).logits[:, -1:].argmax(-1)), 1)
    assert torch.equal(model.generate(ids, max_new_tokens=4, do_sample=False, eos_token_id=None), text)


def test_sampling_with_top_p_one_is_not_greedy(ids):
    model = make_model()
    greedy = model.generate(ids, max_new_tokens=8, do_sample=False, eos_token_id=None)
    torch.manual_seed(0)
    sampled = model.generate(ids, max_new_tokens=8, do_sample=True, top_p=1.0, top_k=0, eos_token_id=None)
    assert not torch.equal(greedy, sampled)


def test_generation_stops_at_eos(ids):
    model = make_model()
    first = model.generate(ids[:1], max_new_tokens=1, do_sample=False)[0, -1].item()
    assert model.generate(ids[:1], max_new_tokens=9, do_sample=False, eos_token_id=first).shape == (1, 13)


def test_generation_from_embeddings(ids):
    model = make_model()
    embeds = model.get_input_embeddings()(ids)
    options = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
    from_embeds = model.generate(inputs_embeds=embeds, **options)
    assert torch.equal(from_embeds, model.generate(ids, **options)[:, 12:])


@torch.no_grad()
def test_logits_to_keep(ids):
    model = make_model()
    logits = model(ids).logits
    torch.testing.assert_close(model(ids, logits_to_keep=2).logits, logits[:, -2:])
    torch.testing.assert_close(model(ids, logits_to_keep=torch.tensor([0, 7])).logits, logits[:, [0, 7]])


@pytest.mark.parametrize("depth", [{}, {"max_segments": 2}], ids=["trained", "shallow"])
def test_returned_dict_has_scores_hidden_states_and_attentions(ids, depth):
    model = make_model()
    model.set_attn_implementation("eager")
    output = model.generate(
        ids,
        max_new_tokens=3,
        do_sample=False,
        eos_token_id=None,
        return_dict_in_generate=True,
        output_scores=True,
        output_hidden_states=True,
        output_attentions=True,
        **depth,
    )
    calls = 10 * depth.get("max_segments", 3)
    assert len(output.scores) == len(output.hidden_states) == len(output.attentions) == 3
    assert output.scores[0].shape == (3, 97)
    for step, length in enumerate((12, 1, 1)):
        assert [tuple(h.shape) for h in output.hidden_states[step]] == [(3, length, 32)] * (calls + 1)
        assert [tuple(a.shape) for a in output.attentions[step]] == [(3, 2, length, 12 + step)] * calls
    assert cache_of(output).get_seq_length() == 14


def test_generation_goes_on_from_a_cache(ids):
    model = make_model()
    options = {"do_sample": False, "eos_token_id": None}
    first = model.generate(ids, max_new_tokens=3, return_dict_in_generate=True, **options)
    rest = model.generate(first.sequences, cache=cache_of(first), max_new_tokens=3, **options)
    assert torch.equal(rest, model.generate(ids, max_new_tokens=6, **options))


@pytest.mark.parametrize("implementation", ["sdpa", "flex_attention"])
@torch.no_grad()
def test_attention_implementations_agree(ids, implementation):
    model = make_model()
    ids, mask = left_padded(ids)
    model.set_attn_implementation("eager")
    eager = model(ids, attention_mask=mask, use_cache=False).logits
    model.set_attn_implementation(implementation)
    other = model(ids, attention_mask=mask, use_cache=False).logits
    torch.testing.assert_close(other[mask.bool()], eager[mask.bool()], rtol=1e-4, atol=1e-4)


# --- training features


def test_gradient_checkpointing_changes_nothing(ids):
    model = make_model(gradient_depth="last_cycle").train()
    model(ids, labels=ids).loss.backward()
    plain = {name: param.grad.clone() for name, param in model.named_parameters()}
    model.zero_grad()
    # older transformers know the second name only
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    model(ids, labels=ids).loss.backward()
    for name, param in model.named_parameters():
        torch.testing.assert_close(param.grad, plain[name], msg=name)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_embeddings_are_resized_with_their_head(ids, tied):
    model = make_model(tie_word_embeddings=tied)
    with torch.no_grad():
        before = model(ids).logits
    model.resize_token_embeddings(101)
    assert model.config.vocab_size == 101
    assert model.lm_head.weight.shape == model.get_input_embeddings().weight.shape == (101, 32)
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == tied
    torch.testing.assert_close(model(ids).logits[..., :97], before)
    model(ids, labels=ids).loss.backward()


def test_bfloat16(ids):
    model = make_model().to(torch.bfloat16)
    output = model(ids, labels=ids)
    assert output.logits.dtype == torch.bfloat16
    assert output.q_halt_logits.dtype == output.loss.dtype == torch.float32
    output.loss.backward()
    assert model.generate(ids, max_new_tokens=3, halt_threshold=0.6, eos_token_id=None).shape == (3, 15)


# --- saving: a stranger's process, the text-generation pipeline, streaming


@pytest.fixture(scope="module")
def tokenizer():
    """A byte-level tokenizer of 97 tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # the first printable bytes, and the space
    vocabulary = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())[:93], "\u0120"]
    tokens = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(vocabulary)}, merges=[]))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="<pad>", bos_token="<s>", eos_token="</s>", padding_side="left"
    )


@pytest.fixture(scope="module")
def saved(tokenizer, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("text") / "model"
    make_model().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_streamed_text_is_the_generated_text(tokenizer):
    from threading import Thread

    model = make_model()
    inputs = tokenizer("once upon", return_tensors="pt")
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)
    arguments = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "early_stop": True}
    thread = Thread(target=model.generate, kwargs={**inputs, **arguments, "streamer": streamer})
    thread.start()
    streamed = "".join(streamer)
    thread.join()
    assert streamed == tokenizer.decode(model.generate(**inputs, **arguments)[0, inputs["input_ids"].shape[1] :])


RELOAD = """
import json, sys, torch
from transformers import AutoModelForCausalLM, pipeline
torch.set_num_threads(int(sys.argv.pop()))
folder, tensors = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
ids = torch.arange(3, 15)[None]
with torch.no_grad():
    torch.save([model(ids, labels=ids).loss, model(ids).logits, *model.state_dict().values()], tensors)
generator = pipeline("text-generation", model=folder, trust_remote_code=True)
options = dict(max_new_tokens=5, do_sample=False, max_segments=4, eos_token_id=None)
texts = [result[0]["generated_text"] for result in generator(["once upon", "a"], batch_size=2, **options)]
modules = [type(part).__module__ for part in (model, generator.model)]
print(json.dumps([model.training, modules, texts, "hrm_hf" in sys.modules]))
"""


@pytest.fixture(scope="module")
def reloaded(saved, tmp_path_factory) -> tuple:
    """The output of a process that has only the folder: the tensors, and the printed list."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "reload.py").write_text(RELOAD)
    process = subprocess.run(
        [sys.executable, "-P", str(folder / "reload.py"), str(saved), str(folder / "tensors.pt")]
        + [str(torch.get_num_threads())],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return torch.load(folder / "tensors.pt"), json.loads(process.stdout.splitlines()[-1])


def test_a_new_process_reloads_bit_identically(saved, reloaded):
    tensors, (training, modules, _, package) = reloaded
    assert not training and not package
    assert all(module.startswith("transformers_modules.") for module in modules)
    model, ids = HRMForCausalLM.from_pretrained(saved), torch.arange(3, 15)[None]
    with torch.no_grad():
        expected = [model(ids, labels=ids).loss, model(ids).logits, *model.state_dict().values()]
    for mine, theirs in zip(expected, tensors, strict=True):
        assert torch.equal(mine, theirs)


def test_the_pipeline_generates_with_remote_code(saved, tokenizer, reloaded):
    _, (_, _, texts, _) = reloaded
    model = HRMForCausalLM.from_pretrained(saved)
    for prompt, text in zip(("once upon", "a"), texts, strict=True):
        inputs = tokenizer(prompt, return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=5, do_sample=False, max_segments=4, eos_token_id=None)
        assert text == tokenizer.decode(tokens[0], skip_special_tokens=True)


def test_the_package_knows_the_class(saved):
    from transformers import AutoModelForCausalLM

    import hrm_hf.auto  # noqa: F401  registers the classes

    assert type(AutoModelForCausalLM.from_pretrained(saved)) is HRMForCausalLM


# --- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": torch.zeros(1, 0, dtype=torch.long)}, "prompt is empty"),
        ({"inputs": torch.zeros(1, 49, dtype=torch.long)}, "49 tokens.*at most 48"),
        ({"inputs_embeds": torch.zeros(1, 49, 32)}, "49 tokens.*at most 48"),
        ({"inputs": torch.tensor([[1, 97]])}, "input_ids has the value 97.*0 to 96"),
        ({"max_segments": 0}, "max_segments=0.*at least 1"),
        ({"max_segments": 1.5}, "max_segments=1.5.*integer"),
        ({"halt_threshold": 2}, "halt_threshold=2.*0 to 1"),
        ({"halt_threshold": 0.5, "early_stop": False}, "halt_threshold=0.5 needs early_stop"),
    ],
)
def test_generate_refuses_what_it_cannot_do(arguments, message):
    if "inputs_embeds" not in arguments:
        arguments = {"inputs": torch.ones(1, 3, dtype=torch.long)} | arguments
    with pytest.raises(ValueError, match=message):
        make_model().generate(**arguments, max_new_tokens=2)


def test_early_stop_needs_a_halting_head(ids):
    with pytest.raises(ValueError, match="no halting head.*halt_max_steps=1"):
        make_model(halt_max_steps=1)(ids, early_stop=True)


@pytest.mark.parametrize("changes", [{"is_causal": False}, {"puzzle_emb_ndim": 32}])
def test_a_configuration_that_is_not_for_text_is_refused(changes):
    with pytest.raises(ValueError, match=f"{next(iter(changes))}=.*is not allowed; a text model"):
        HRMForCausalLM(HRMConfig(**(TEXT | changes)))


@pytest.mark.skipif(CACHE_NAME != "cache", reason="this transformers has the older name alone")
@torch.no_grad()
def test_the_older_name_of_the_cache_does_the_same_and_is_told_to_be_old(ids):
    model = make_model()
    for called in (model, model.model):
        with pytest.warns(FutureWarning, match="`past_key_values` is deprecated"):
            old = called(ids, past_key_values=DynamicCache())
        new = called(ids, cache=DynamicCache())
        assert torch.equal(old[0], new[0]) and cache_of(old).get_seq_length() == cache_of(new).get_seq_length() == 12


def test_a_cache_with_too_few_slots_is_refused(ids):
    model = make_model()
    with pytest.raises(ValueError, match="30 slots, but 5 segments of 10 block calls need 50"):
        model(ids, cache=DynamicCache(config=model.config), max_segments=5)


def test_a_grid_model_takes_no_cache(small_config):
    with pytest.raises(ValueError, match="cache.*is_causal=False"):
        HRMModel(small_config())(torch.zeros(1, 16, dtype=torch.long), cache=DynamicCache())


def test_labels_want_all_logits(ids):
    with pytest.raises(ValueError, match="either labels or logits_to_keep"):
        make_model()(ids, labels=ids, logits_to_keep=1)


def test_a_text_checkpoint_is_no_grid_model(saved):
    from hrm_hf.checkpoints import load_checkpoint

    with pytest.raises(FileNotFoundError, match="no processor_config.json"):
        load_checkpoint(str(saved))


def test_longer_texts_with_scaled_rotary_positions():
    model = make_model(rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0})
    assert model.generate(torch.ones(1, 60, dtype=torch.long), max_new_tokens=2, eos_token_id=None).shape == (1, 62)


def test_a_causal_grid_model_still_runs_one_segment_a_call(small_config, batch):
    model = HRMForGridTask(small_config(is_causal=True)).eval()
    assert model(**batch).carry.steps.tolist() == [1] * 6
