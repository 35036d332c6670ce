"""The page of text: writing as `generate` does, traces of tokens and states, its endpoint, and the page itself."""

import json
import math

import httpx
import pytest
import torch
from gradio_client.exceptions import AppError
from served_pages import (
    RUBBISH,
    client,  # noqa: F401  a fixture
    make_text_model,
    open_tab,
    world,
)
from transformers import LlamaConfig, LlamaForCausalLM

from hrm_hf.app.text_page import alternatives_html, checked_prompt, depth_arguments, states_html, tokens_html, visible
from hrm_hf.text.blocks import load_text_tokenizer
from hrm_hf.text.trace import Sampling, TokenTrace, continue_text, trace_text


@pytest.fixture(scope="module")
def tokenizer():
    return load_text_tokenizer(str(world().root / "data" / "text"))


def llama(tokenizer) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=96, **sizes)).eval()


# --- writing


@pytest.mark.parametrize(
    ("sampling", "depth"),
    [
        (Sampling(max_new_tokens=8, seed=3), {}),
        (Sampling(max_new_tokens=8, seed=3, temperature=1.5, top_k=20, top_p=1.0), {"max_segments": 5}),
        (Sampling(max_new_tokens=8, seed=3, temperature=1.0, top_p=0.9, min_p=0.1), {"halt_threshold": 0.5}),
        (Sampling(max_new_tokens=8, temperature=0), {"max_segments": 2, "halt_threshold": 0.6}),
    ],
    ids=["usual", "top-k", "min-p", "greedy"],
)
def test_text_is_that_of_generate(tokenizer, sampling, depth):
    model = make_text_model(len(tokenizer), 3)
    written = list(continue_text(model, tokenizer, "The king", sampling, depth))[-1]
    prompt = torch.tensor([written.token_ids[: written.num_prompt]])
    torch.manual_seed(sampling.seed)
    options = {"do_sample": False}
    if sampling.temperature:
        names = ("temperature", "top_k", "top_p", "min_p")
        options = {"do_sample": True} | {name: getattr(sampling, name) for name in names}
        options["min_p"] = options["min_p"] or None
    expected = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, pad_token_id=0, **options, **depth
    )
    assert written.token_ids == expected[0].tolist()


def test_text_grows_and_closing_ends_it(tokenizer):
    model = make_text_model(len(tokenizer), 3)
    writing = continue_text(model, tokenizer, "The king", Sampling(max_new_tokens=50))
    texts = [next(writing).text for _ in range(6)]
    assert texts[0] == ""
    assert all(later.startswith(earlier) for earlier, later in zip(texts, texts[1:], strict=False))
    writing.close()
    with pytest.raises(StopIteration):
        next(writing)


def test_writing_ends_at_the_limit_of_the_model_and_of_time(tokenizer):
    model = make_text_model(len(tokenizer), 1)
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] = 0  # it never is the likeliest then
    last = list(continue_text(model, tokenizer, "The king", Sampling(max_new_tokens=500, temperature=0)))[-1]
    assert len(last.token_ids) == 96
    assert "limit of 96 tokens" in last.end
    last = list(continue_text(model, tokenizer, "The king", Sampling(max_new_tokens=50), seconds=0))[-1]
    assert len(last.token_ids) == last.num_prompt
    assert "seconds" in last.end


def test_a_prompt_that_is_too_long_is_refused(tokenizer):
    model = make_text_model(len(tokenizer), 1)
    with pytest.raises(ValueError, match="made for texts of 96; shorten it"):
        list(continue_text(model, tokenizer, "king " * 200, Sampling()))


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}, {"min_p": math.nan}, {"seed": -1}]
)
def test_sampling_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)


# --- traces


@pytest.fixture
def thought(tokenizer):
    """A model that can stop, a text, its depth and its trace."""
    model, depth = make_text_model(len(tokenizer), 4), {"max_segments": 4, "halt_threshold": 0.5}
    token_ids = list(continue_text(model, tokenizer, "The naïve king", Sampling(max_new_tokens=15), depth))[
        -1
    ].token_ids
    return model, token_ids, depth, trace_text(model, tokenizer, token_ids, depth)


def test_tokens_have_depth_probability_and_alternatives_of_the_model(tokenizer, thought):
    model, token_ids, depth, trace = thought
    with torch.no_grad():
        output = model(torch.tensor([token_ids]), use_cache=False, **depth)
    assert [token.segments for token in trace.tokens] == output.segments[0, :-1].tolist()
    assert len({token.segments for token in trace.tokens}) > 1
    probabilities = output.logits[0].softmax(-1)
    for position, token in enumerate(trace.tokens):
        expected = probabilities[position]
        assert token.probability == pytest.approx(expected[token_ids[position + 1]].item(), rel=1e-4)
        assert token.entropy == pytest.approx(-(expected * expected.log2()).sum().item(), rel=1e-4)
        assert len(token.alternatives) == 10
        assert token.alternatives[0][1] == pytest.approx(expected.max().item(), rel=1e-4)
    assert trace.tokens[2].halt_probability == pytest.approx(output.q_halt_logits[0, 2].sigmoid().item(), rel=1e-4)


def test_pieces_of_tokens_make_the_text(tokenizer):
    model = make_text_model(len(tokenizer), 1)
    text = "The king\n\nsaid <b>so</b>  twice."
    token_ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    trace = trace_text(model, tokenizer, token_ids)
    assert "".join(token.text for token in trace.tokens) == text


@pytest.mark.parametrize("norm_position", ["pre", "post"])
def test_states_are_those_of_the_recurrence(tokenizer, norm_position):
    model = make_text_model(len(tokenizer), 3, norm_position=norm_position)
    token_ids = list(range(5, 25))
    trace = trace_text(model, tokenizer, token_ids, {"max_segments": 3})
    assert [(state.module, state.segment) for state in trace.states[:7]] == [
        *[("L", 1), ("L", 1), ("H", 1)] * 2,
        ("L", 2),
    ]
    ids = torch.tensor([token_ids])
    with torch.no_grad():
        before = model.model(ids, num_segments=2, use_cache=False).state
        # the states before the last call of H are known from its change and theirs
        first = model.model(ids, num_segments=1, use_cache=False).state
    last_of = {segment: [s for s in trace.states if s.segment == segment] for segment in (1, 2)}
    if norm_position == "post":
        assert last_of[2][-1].norms == pytest.approx(before.z_H[0].square().mean(-1).sqrt().tolist(), rel=1e-4)
        assert last_of[1][-1].norm == pytest.approx(1.0, rel=1e-3)
    # L moves from the state that segment 1 left
    moved = (trace.states[6].changes, first.z_L[0].norm(dim=-1))
    assert all(0 < change < 3 for change in moved[0])


def test_stopped_tokens_have_no_states_any_more(thought):
    *_, trace = thought
    for state in trace.states:
        for position, token in enumerate(trace.tokens):
            assert (state.norms[position] is None) == (token.segments < state.segment)
            assert (state.changes[position] is None) == (token.segments < state.segment)


def test_other_models_have_tokens_and_no_depth(tokenizer):
    model = llama(tokenizer)
    written = list(continue_text(model, tokenizer, "The king", Sampling(max_new_tokens=5)))[-1]
    trace = trace_text(model, tokenizer, written.token_ids)
    assert trace.states == []
    assert {token.segments for token in trace.tokens} == {None}
    assert "not an HRM" in states_html(trace, 1, model.config)
    assert "not an HRM" in tokens_html(trace, 2, "depth", 1)
    assert depth_arguments(model.config, "fixed", 3, 0.5) == {}
    with pytest.raises(ValueError, match="choose fixed"):
        depth_arguments(model.config, "adaptive", 3, 0.5)


# --- input and HTML


def test_depth_of_a_model_with_and_without_a_halting_head(tokenizer):
    thinker, plain = (make_text_model(len(tokenizer), steps).config for steps in (3, 1))
    assert depth_arguments(thinker, "adaptive", 3, 0.7) == {"max_segments": 3, "halt_threshold": 0.7}
    assert depth_arguments(plain, "fixed", 2, 0.7) == {"max_segments": 2}
    with pytest.raises(ValueError, match="halt_max_steps=1"):
        depth_arguments(plain, "adaptive", 3, 0.7)
    for wrong in (0, 17, True, "2", None, math.nan):
        with pytest.raises(ValueError, match="segments="):
            depth_arguments(thinker, "fixed", wrong, 0.5)


def test_prompts_are_checked():
    assert checked_prompt("a\ud800b") == "a?b"
    with pytest.raises(ValueError, match="at most 4,000"):
        checked_prompt("x" * 4001)
    for wrong in ("", None, 3, ["a"]):
        with pytest.raises(ValueError, match="The prompt"):
            checked_prompt(wrong)


def test_text_of_the_user_is_escaped_and_signs_are_visible():
    token = TokenTrace(1, "<img>\n\x07", 0.5, 1.0, 2, None, [("<img>", 0.25), ("&", 0.125)])
    html = alternatives_html(token)
    assert "<img" not in html
    assert "&lt;img&gt;↵␇" in html
    assert visible("") == "∅"


# --- endpoint


def test_the_endpoint_streams_text_and_ends_with_the_trace(client):  # noqa: F811
    job = client.submit("thinker", "The king", 0.8, 0, 0.95, 0.0, 8, 0, "adaptive", 3, 0.5, api_name="/generate_text")
    result = job.result(timeout=60)
    streamed = job.outputs()
    assert len(streamed) == 10
    assert [len(part["text"]) for part in streamed] == sorted(len(part["text"]) for part in streamed)
    assert result["num_prompt_tokens"] + 8 == len(result["tokens"])
    assert {state["module"] for state in result["states"]} == {"H", "L"}
    assert all(1 <= token["segments"] <= 3 for token in result["tokens"])
    assert json.dumps(result, allow_nan=False)


def test_a_prompt_alone_is_looked_at(client):  # noqa: F811
    result = client.predict("plain", "The king said", new_tokens=0, api_name="/generate_text")
    assert result["text"] == ""
    assert "".join(token["text"] for token in result["tokens"]) == "The king said"


@pytest.mark.parametrize("rubbish", RUBBISH, ids=range(len(RUBBISH)))
def test_rubbish_is_answered_with_a_sentence_or_a_text(client, rubbish):  # noqa: F811
    with pytest.raises(AppError, match="There is no"):
        client.predict(rubbish, "The king", api_name="/generate_text")
    with pytest.raises(AppError, match="The depth"):
        client.predict("plain", "The king", new_tokens=1, depth=rubbish, api_name="/generate_text")
    try:
        assert client.predict("plain", rubbish, new_tokens=2, api_name="/generate_text")["end"]
    except AppError as error:
        assert str(error).startswith("The prompt")


def test_numbers_out_of_range_and_of_no_type_are_answered_with_a_sentence(client):  # noqa: F811
    for name, value in (
        ("new_tokens", 10**9),
        ("top_k", -1),
        ("seed", 1e300),
        ("temperature", "hot"),
        ("min_p", None),
    ):
        with pytest.raises(AppError, match=f"{name}=.* is not allowed"):
            client.predict("plain", "The king", api_name="/generate_text", **{name: value})


def test_half_of_a_surrogate_pair_does_no_harm():
    url = f"{world().url}gradio_api/call/generate_text"
    body = b'{"data": ["plain", "\\ud800 king", 0.8, 0, 0.95, 0, 1, 0, "fixed", 1, 0.5]}'
    event = httpx.post(url, content=body, headers={"content-type": "application/json"}).json()
    answer = httpx.get(f"{url}/{event['event_id']}", timeout=30)
    assert answer.status_code == 200
    assert "event: complete" in answer.text


# --- in a browser


def test_a_text_is_written_and_a_token_looked_at(chromium):
    page = open_tab(chromium, "Text", width=390)
    menu = page.get_by_label("Model", exact=True)
    menu.click()
    page.get_by_role("option", name="thinker").click()
    page.get_by_text("can stop earlier on its own").wait_for()
    page.get_by_role("radio", name="adaptive").check()
    page.locator("#text-prompt textarea").fill("The <b>king</b>")
    page.locator("#text-write").click()
    tokens = page.locator("#text-tokens button")
    tokens.first.wait_for()
    assert "<b>king</b>" in page.locator("#text-written textarea").input_value()
    tokens.nth(2).focus()
    page.keyboard.press("Enter")
    page.locator("#text-alternatives").get_by_text("Token 3,").wait_for()
    assert page.locator("#text-number input").input_value() == "3"
    assert page.locator("#text-alternatives tbody tr").count() == 10
    page.get_by_role("radio", name="depth").check()
    page.locator("#text-tokens").get_by_text("below each token: segments").wait_for()
    assert page.locator("#text-states svg[role=img]").count() == 2
    menu.click()
    page.get_by_role("option", name="plain").click()
    page.get_by_text("adaptive depth is not available").wait_for()
    assert page.get_by_role("radio", name="adaptive").count() == 0
    page.close()
