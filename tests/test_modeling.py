"""HRMModel and HRMForGridTask: recurrence, halting, losses, dtypes, attention implementations, `solve`."""

import math

import pytest
import torch

from modeling_hrm import (
    HRMForGridTask,
    HRMModel,
    HRMState,
    softmax_cross_entropy,
    stablemax_cross_entropy,
)


def make_half_of_them_halt(model, batch):
    """Shift the halting value so that half of the sequences want to halt after the first segment."""
    with torch.no_grad():
        output = model(**batch)
        wish = output.q_halt_logits - (0 if output.q_continue_logits is None else output.q_continue_logits)
        model.q_head.bias[0] -= wish.sort().values[2:4].mean()


def gradients(model, output) -> dict[str, torch.Tensor]:
    model.zero_grad()
    output.loss.backward()
    return {name: param.grad.clone() for name, param in model.named_parameters() if param.grad is not None}


# --- initial weights


def test_initial_weights_have_the_scales_of_the_paper(small_config):
    torch.manual_seed(0)
    model = HRMForGridTask(small_config(hidden_size=256, intermediate_size=512, vocab_size=2000))
    weights = model.state_dict()
    assert weights["model.embed_tokens.weight"].std().item() == pytest.approx(256**-0.5, rel=0.02)
    assert weights["model.L_module.layers.0.mlp.down_proj.weight"].std().item() == pytest.approx(512**-0.5, rel=0.02)
    limit = 2 * 256**-0.5 / 0.87962566
    assert weights["lm_head.weight"].abs().max().item() <= limit * 1.0001
    assert not weights["model.puzzle_embeddings.weight"].any()
    assert not weights["q_head.weight"].any()
    assert (weights["q_head.bias"] == -5).all()
    assert weights["model.H_init"].std().item() == pytest.approx(1, rel=0.15)
    assert not torch.equal(weights["model.H_init"], weights["model.L_init"])
    torch.manual_seed(1)
    assert torch.equal(HRMForGridTask(model.config).model.H_init, weights["model.H_init"])


def test_initial_states_are_buffers(small_model):
    model = small_model()
    names = {name for name, _ in model.named_parameters()}
    assert "model.H_init" not in names
    assert "model.L_init" in model.state_dict()


# --- the recurrence


def test_a_segment_is_the_recurrence_of_the_paper(small_model, batch):
    model = small_model(H_cycles=3, L_cycles=2).model
    ids, puzzles = batch["input_ids"], batch["puzzle_identifiers"]
    with torch.no_grad():
        output = model(input_ids=ids, puzzle_identifiers=puzzles)
        e = model.embed(ids, puzzles, None)
        positions = torch.arange(e.shape[1]).unsqueeze(0)
        kwargs = {"position_embeddings": model.rotary_emb(e, positions)}
        state = model.initial_state(*e.shape[:2])
        z_H, z_L = state.z_H, state.z_L
        for _ in range(3):
            for _ in range(2):
                z_L = model.L_module(z_L, z_H + e, **kwargs)
            z_H = model.H_module(z_H, z_L, **kwargs)
    torch.testing.assert_close(output.last_hidden_state, z_H)
    torch.testing.assert_close(output.state.z_L, z_L)


def test_two_segments_differ_from_one(small_model, batch):
    model = small_model().model
    with torch.no_grad():
        first = model(input_ids=batch["input_ids"])
        second = model(input_ids=batch["input_ids"], state=first.state)
    assert not torch.allclose(first.last_hidden_state, second.last_hidden_state)
    assert not second.state.z_H.requires_grad


@pytest.mark.parametrize("gradient_depth", ["last_step", "last_cycle"])
def test_gradient_depth(small_model, batch, gradient_depth):
    """The gradient is that of the same calls with everything before them detached."""
    model = small_model(H_cycles=2, L_cycles=3, gradient_depth=gradient_depth, puzzle_emb_ndim=0).model.train()
    ids = batch["input_ids"]
    model(input_ids=ids).last_hidden_state.square().sum().backward()
    actual = {name: param.grad.clone() for name, param in model.named_parameters()}

    model.zero_grad()
    e = model.embed(ids, None, None)
    kwargs = {"position_embeddings": model.rotary_emb(e, torch.arange(16).unsqueeze(0))}
    state = model.initial_state(*e.shape[:2])
    z_H, z_L = state.z_H, state.z_L
    for H_cycle in range(2):
        for L_cycle in range(3):
            z_L = model.L_module(z_L, z_H + e, **kwargs)
            if H_cycle == 0 or (gradient_depth == "last_step" and L_cycle < 2):
                z_L = z_L.detach()
        z_H = model.H_module(z_H, z_L, **kwargs)
        if H_cycle == 0:
            z_H = z_H.detach()
    z_H.square().sum().backward()
    for name, param in model.named_parameters():
        torch.testing.assert_close(actual[name], param.grad, msg=name)


def test_a_causal_model_does_not_look_ahead(small_model, batch):
    model = small_model(is_causal=True, puzzle_emb_ndim=0).model
    ids = batch["input_ids"]
    changed = ids.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 6
    with torch.no_grad():
        before, after = model(input_ids=ids).last_hidden_state, model(input_ids=changed).last_hidden_state
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


def test_a_bidirectional_model_sees_everything(small_model, batch):
    model = small_model().model
    changed = batch["input_ids"].clone()
    changed[:, -1] = (changed[:, -1] + 1) % 6
    with torch.no_grad():
        before = model(input_ids=batch["input_ids"]).last_hidden_state
        after = model(input_ids=changed).last_hidden_state
    assert not torch.allclose(before[:, 0], after[:, 0])


def test_masked_tokens_are_not_seen(small_model, batch):
    model = small_model()
    mask = torch.ones(6, 16, dtype=torch.long)
    mask[:, 10:] = 0
    changed = batch["input_ids"].clone()
    changed[:, 10:] = (changed[:, 10:] + 1) % 6
    with torch.no_grad():
        before = model(input_ids=batch["input_ids"], attention_mask=mask).logits
        after = model(input_ids=changed, attention_mask=mask).logits
    torch.testing.assert_close(before[:, :10], after[:, :10])


@pytest.mark.parametrize("implementation", ["sdpa", "flex_attention"])
def test_attention_implementations_agree(small_model, batch, implementation):
    model = small_model()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        eager = model(input_ids=batch["input_ids"]).logits
        model.set_attn_implementation(implementation)
        torch.testing.assert_close(model(input_ids=batch["input_ids"]).logits, eager, rtol=1e-4, atol=1e-5)


def test_hidden_states_and_attentions_of_every_block_call(small_model, batch):
    model = small_model()
    model.set_attn_implementation("eager")
    output = model(input_ids=batch["input_ids"], output_hidden_states=True, output_attentions=True)
    calls = model.config.num_hidden_layers
    assert len(output.hidden_states) == calls + 1
    assert len(output.attentions) == calls
    assert output.attentions[0].shape == (6, 2, 18, 18)
    torch.testing.assert_close(output.attentions[-1].sum(-1), torch.ones(6, 2, 18))


def test_inputs_embeds_instead_of_ids(small_model, batch):
    model = small_model()
    embeds = model.get_input_embeddings()(batch["input_ids"])
    with torch.no_grad():
        by_ids = model(input_ids=batch["input_ids"], puzzle_identifiers=batch["puzzle_identifiers"])
        by_embeds = model(inputs_embeds=embeds, puzzle_identifiers=batch["puzzle_identifiers"])
    assert torch.equal(by_ids.logits, by_embeds.logits)


# --- dtypes


def test_pure_bfloat16(small_model, batch):
    model = small_model().to(torch.bfloat16)
    output = model(**batch)
    assert output.logits.dtype == torch.bfloat16
    assert output.carry.state.z_H.dtype == torch.bfloat16
    assert output.q_halt_logits.dtype == output.loss.dtype == torch.float32
    output.loss.backward()


def test_bfloat16_compute_over_float32_weights(small_model, batch):
    """Under autocast every weight gets a float32 gradient close to that of pure float32."""
    model = small_model(halt_exploration_prob=0.0).train()
    exact = gradients(model, model(**batch))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(**batch)
    assert output.carry.state.z_H.dtype == torch.bfloat16
    mixed = gradients(model, output)
    assert mixed.keys() == exact.keys()
    for name, grad in mixed.items():
        assert grad.dtype == torch.float32
        assert (grad - exact[name]).norm() <= 0.1 * exact[name].norm() + 1e-6, name


def test_gradient_checkpointing_changes_nothing(small_model, batch):
    model = small_model(halt_exploration_prob=0.0, gradient_depth="last_cycle").train()
    plain = gradients(model, model(**batch))
    # older transformers know the second name only
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    for name, grad in gradients(model, model(**batch)).items():
        torch.testing.assert_close(grad, plain[name], msg=name)


def test_compiled_blocks_change_nothing(small_model, batch):
    model = small_model()
    with torch.no_grad():
        plain = model(input_ids=batch["input_ids"]).logits
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")(input_ids=batch["input_ids"]).logits
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)


# --- halting and losses


def test_first_call_starts_every_sequence(small_model, batch):
    output = small_model()(**batch)
    assert output.carry.steps.tolist() == [1] * 6
    assert torch.equal(output.carry.input_ids, batch["input_ids"])


def test_halted_sequences_take_the_incoming_puzzle_and_the_others_go_on(small_model, batch):
    model = small_model()
    carry = model(**batch).carry
    carry.halted = torch.tensor([True, False, True, False, False, False])
    incoming = {name: tensor.flip(0) for name, tensor in batch.items()}
    with torch.no_grad():
        output = model(**incoming, carry=carry)
        fresh = model(**incoming)
    assert output.carry.steps.tolist() == [1, 2, 1, 2, 2, 2]
    for row in (0, 2):
        assert torch.equal(output.carry.input_ids[row], incoming["input_ids"][row])
        torch.testing.assert_close(output.logits[row], fresh.logits[row])
    for row in (1, 3, 4, 5):
        assert torch.equal(output.carry.labels[row], batch["labels"][row])


@pytest.mark.parametrize("halting", ["q_learning", "lean"])
def test_training_halts_by_the_head_and_at_the_last_step(small_model, batch, halting):
    model = small_model(halting=halting, halt_exploration_prob=0.0).train()
    make_half_of_them_halt(model, batch)
    output = model(**batch)
    threshold = output.q_continue_logits if halting == "q_learning" else 0
    assert torch.equal(output.carry.halted, output.q_halt_logits > threshold)
    assert output.carry.halted.sum() == 3
    carry = output.carry
    carry.steps, carry.halted = torch.full_like(carry.steps, 3), torch.zeros_like(carry.halted)
    assert model(**batch, carry=carry).carry.halted.all()


def test_evaluation_halts_at_the_last_step_only(small_model, batch):
    model, carry = small_model(), None
    for step in range(1, 5):
        carry = model(**batch, carry=carry).carry
        assert carry.halted.tolist() == [step == 4] * 6


def test_exploration_gives_a_minimum_number_of_steps(small_model, batch):
    model = small_model(halt_exploration_prob=1.0).train()
    torch.nn.init.constant_(model.q_head.bias, 0)
    model.q_head.bias.data[0] = 100.0  # always halts
    carry, halted_at = None, []
    for step in range(1, 5):
        torch.manual_seed(step)
        carry = model(**batch, carry=carry).carry
        halted_at.append(carry.halted.sum().item())
    assert halted_at[0] == 0  # the minimum drawn is at least 2
    assert sum(halted_at) > 0


def test_lean_halting_needs_no_further_forward_pass(small_model, batch):
    for halting, calls_wanted in (("q_learning", 2), ("lean", 1)):
        model = small_model(halting=halting).train()
        calls = []
        model.model.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        output = model(**batch)
        assert len(calls) == calls_wanted
        assert (output.q_continue_logits is None) == (halting == "lean")
        assert (output.q_continue_loss is None) == (halting == "lean")


def test_loss_by_hand(small_model, batch):
    model = small_model(token_loss="softmax", halting="lean").train()
    output = model(**batch)
    log_p = output.logits.log_softmax(-1)
    token_loss, right = 0.0, []
    for row in range(6):
        cells = [cell for cell in range(16) if batch["labels"][row, cell] != -100]
        token_loss -= sum(log_p[row, cell, batch["labels"][row, cell]].item() for cell in cells) / len(cells)
        right.append(all(output.logits[row, cell].argmax() == batch["labels"][row, cell] for cell in cells))
    p_halt = output.q_halt_logits.sigmoid().tolist()
    halt_loss = -sum(math.log(p if r else 1 - p) for p, r in zip(p_halt, right, strict=True))
    assert output.lm_loss.item() == pytest.approx(token_loss / 6, rel=1e-5)
    assert output.q_halt_loss.item() == pytest.approx(halt_loss / 6, rel=1e-5)
    assert output.loss.item() == pytest.approx((token_loss + 0.5 * halt_loss) / 6, rel=1e-5)


def test_num_items_in_batch_divides_the_sum(small_model, batch):
    model = small_model()
    assert model(**batch, num_items_in_batch=12).loss.item() == pytest.approx(model(**batch).loss.item() / 2)


def test_stablemax_in_float32_is_as_good_as_float64():
    torch.manual_seed(0)
    logits = torch.cat([torch.randn(500, 11) * scale for scale in (0.1, 3, 100, 1e4)])
    labels = torch.randint(0, 11, (2000,))
    # nearly all the mass on the label: here a difference of logarithms loses all precision
    logits[::4, :] = -1e4
    logits[torch.arange(0, 2000, 4), labels[::4]] = 1e5

    def reference(x: torch.Tensor) -> torch.Tensor:
        scores = torch.where(x < 0, 1 / (1 - x.clamp(max=0)), x + 1)
        return -torch.log((scores / scores.sum(-1, keepdim=True)).gather(-1, labels[:, None]).squeeze(-1))

    x32, x64 = logits.clone().requires_grad_(), logits.double().requires_grad_()
    ours, exact = stablemax_cross_entropy(x32, labels), reference(x64)
    # the reference itself is only accurate to 1e-16 absolute
    torch.testing.assert_close(ours.double(), exact, rtol=1e-6, atol=1e-12)
    ours.sum().backward()
    exact.sum().backward()
    torch.testing.assert_close(x32.grad.double(), x64.grad, rtol=1e-5, atol=1e-9)


def test_ignored_labels_cost_nothing():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    labels = torch.tensor([[1, -100, 2], [-100, -100, -100]])
    for loss_function in (stablemax_cross_entropy, softmax_cross_entropy):
        losses = loss_function(logits, labels)
        assert (losses[labels == -100] == 0).all()
        assert (losses[labels != -100] > 0).all()
        (grad,) = torch.autograd.grad(losses.sum(), logits)
        assert not grad[1].any()
        assert grad.isfinite().all()


# --- solve


def test_solve_agrees_with_segments_run_by_hand(small_model, batch):
    model = small_model()
    make_half_of_them_halt(model, batch)
    ids, puzzles = batch["input_ids"], batch["puzzle_identifiers"]
    solved = model.solve(ids, puzzles, max_segments=6, return_history=True)
    state = None
    for segment in range(6):
        with torch.no_grad():
            output = model.model(input_ids=ids, puzzle_identifiers=puzzles, state=state)
            logits, q_halt, q_continue = model.read_out(output.last_hidden_state)
        state = output.state
        in_work = solved.segments > segment
        if segment < solved.prediction_history.shape[1]:
            assert torch.equal(solved.prediction_history[in_work, segment], logits.argmax(-1)[in_work])
            torch.testing.assert_close(
                solved.halt_probability_history[in_work, segment], q_halt.sigmoid()[in_work], rtol=1e-4, atol=1e-5
            )
        stops_here = in_work & (solved.segments == segment + 1)
        assert torch.equal(solved.halted[stops_here], (q_halt > q_continue)[stops_here])
        assert torch.equal(solved.predictions[stops_here], logits.argmax(-1)[stops_here])
    assert 1 < len(solved.segments.unique())  # some stopped early, some did not


def test_a_higher_threshold_asks_for_more_segments(small_model, batch):
    model = small_model(halting="lean")
    after_one = model.solve(batch["input_ids"], batch["puzzle_identifiers"], max_segments=1).halt_probabilities
    always, middle, never = (
        model.solve(batch["input_ids"], batch["puzzle_identifiers"], halt_threshold=threshold)
        for threshold in (0.0, after_one.median().item(), 1.0)
    )
    assert (always.segments == 1).all() and always.halted.all()
    assert torch.equal(middle.segments == 1, after_one >= after_one.median())
    assert (never.segments == 4).all() and not never.halted.any()


def test_the_threshold_of_the_configuration_is_the_default(small_model, batch):
    careful = small_model(halting="lean", halt_threshold=0.9)
    by_config = careful.solve(batch["input_ids"])
    by_argument = small_model(halting="lean").solve(batch["input_ids"], halt_threshold=0.9)
    assert torch.equal(by_config.segments, by_argument.segments)
    assert torch.equal(by_config.predictions, by_argument.predictions)


def test_history_repeats_what_stopped(small_model, batch):
    solved = small_model().solve(batch["input_ids"], max_segments=5, return_history=True)
    for row, segments in enumerate(solved.segments.tolist()):
        for later in range(segments, solved.prediction_history.shape[1]):
            assert torch.equal(solved.prediction_history[row, later], solved.predictions[row])


def test_segments_are_given_one_after_another_of_the_puzzles_still_in_work(small_model, batch):
    model = small_model(halting="lean")
    torch.nn.init.normal_(model.q_head.weight)
    inputs = (batch["input_ids"], batch["puzzle_identifiers"])
    threshold = model.solve(*inputs, max_segments=1).halt_probabilities.median().item()
    solved = model.solve(*inputs, max_segments=4, halt_threshold=threshold)
    found = list(model.segments(*inputs, max_segments=4, halt_threshold=threshold))
    assert torch.equal(torch.cat([segment.rows for segment in found]).bincount(minlength=6), solved.segments)
    assert 1 < len(found) and len(found[0].rows) == 6 > len(found[1].rows)
    for before, after in zip(found, found[1:], strict=False):
        assert torch.equal(after.rows, before.rows[~before.stops])
        assert torch.equal(after.start.z_L, before.state.z_L[~before.stops])
    assert torch.equal(found[-1].logits.argmax(-1), solved.predictions[found[-1].rows])
    assert not any(segment.logits.requires_grad for segment in found)
    with pytest.raises(ValueError, match="max_segments=0"):  # before any segment runs
        model.segments(*inputs, max_segments=0)


def test_states_can_be_changed_before_each_segment(small_model, batch):
    model, seen = small_model(), []
    inputs = (batch["input_ids"], batch["puzzle_identifiers"])

    def restart(state, rows, segment):
        """Discards the result of thinking."""
        seen.append((segment, rows.tolist()))
        return model.model.initial_state(len(rows), state.z_H.shape[1])

    once = model.solve(*inputs, max_segments=1)
    restarted = model.solve(*inputs, max_segments=3, early_stop=False, perturb=restart)
    assert seen == [(segment, list(range(6))) for segment in range(3)]
    assert torch.equal(restarted.predictions, once.predictions)
    assert torch.equal(restarted.halt_probabilities, once.halt_probabilities)
    assert not torch.equal(
        model.solve(*inputs, max_segments=3, early_stop=False).halt_probabilities, once.halt_probabilities
    )
    # stopped rows are not passed in, and states that are returned unchanged have no effect
    asked, threshold = [], once.halt_probabilities.median().item()
    plain = model.solve(*inputs, halt_threshold=threshold)
    same = model.solve(
        *inputs, halt_threshold=threshold, perturb=lambda state, rows, segment: asked.append(rows) or state
    )
    assert torch.equal(same.halt_probabilities, plain.halt_probabilities)
    assert len(plain.segments.unique()) > 1 and torch.equal(torch.cat(asked).bincount(), plain.segments)


def test_without_early_stop_all_get_every_segment(small_model, batch):
    solved = small_model().solve(batch["input_ids"], max_segments=7, early_stop=False)
    assert solved.segments.tolist() == [7] * 6  # more than halt_max_steps, which is 4


def test_solve_leaves_the_mode_of_the_model(small_model, batch):
    model = small_model().train()
    model.solve(batch["input_ids"])
    assert model.training


def test_solve_runs_in_bfloat16_and_under_autocast(small_model, batch):
    model = small_model()
    with torch.autocast("cpu", torch.bfloat16):
        model.solve(batch["input_ids"])
    model.to(torch.bfloat16).solve(batch["input_ids"])


# --- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_segments": 0}, "max_segments=0.*at least 1"),
        ({"max_segments": 2.5}, "max_segments=2.5.*integer"),
        ({"halt_threshold": 1.5}, "halt_threshold=1.5.*0 to 1"),
        ({"input_ids": torch.zeros(2, 15, dtype=torch.long)}, "15 cells.*16"),
        ({"input_ids": torch.zeros(0, 16, dtype=torch.long)}, "at least one puzzle"),
        ({"input_ids": torch.zeros(16, dtype=torch.long)}, "expected \\(puzzles, tokens\\)"),
        ({"input_ids": torch.full((1, 16), 6)}, "input_ids has the value 6.*0 to 5"),
        ({"puzzle_identifiers": torch.tensor([3])}, "puzzle_identifiers has the value 3.*0 to 2"),
        ({"puzzle_identifiers": torch.tensor([-1])}, "puzzle_identifiers has the value -1"),
    ],
)
def test_solve_refuses_what_it_cannot_solve(small_model, arguments, message):
    arguments = {"input_ids": torch.zeros(1, 16, dtype=torch.long)} | arguments
    with pytest.raises(ValueError, match=message):
        small_model().solve(**arguments)


def test_damaged_weights_are_named(small_model, batch):
    model = small_model()
    model.model.L_module.layers[0].mlp.down_proj.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="L_module.layers.0.mlp.down_proj.weight.*not finite"):
        model.solve(batch["input_ids"])


def test_too_long_a_sequence_for_learned_positions(small_model):
    with pytest.raises(ValueError, match="17 tokens.*16"):
        small_model(position_embedding_type="learned")(input_ids=torch.zeros(1, 17, dtype=torch.long))


def test_ids_and_embeddings_together_are_refused(small_model, batch):
    model = small_model()
    with pytest.raises(ValueError, match="exactly one"):
        model.model(input_ids=batch["input_ids"], inputs_embeds=torch.zeros(6, 16, 32))
    with pytest.raises(ValueError, match="exactly one"):
        model.model()


def test_a_state_can_be_given_to_the_base_model(small_config, batch):
    model = HRMModel(small_config())
    state = HRMState(z_H=torch.zeros(6, 18, 32), z_L=torch.zeros(6, 18, 32))
    assert model(input_ids=batch["input_ids"], state=state).last_hidden_state.shape == (6, 18, 32)


# --- one network for both modules


def test_shared_modules_halve_the_blocks_and_compute_what_equal_modules_do(small_model, batch):
    options = {"H_layers": 2, "L_layers": 2}
    apart, shared = small_model(**options).eval(), small_model(**options, share_modules=True).eval()
    assert not any("L_module" in name for name in shared.state_dict())
    weights = shared.state_dict()
    weights |= {name.replace("H_module", "L_module"): value for name, value in weights.items() if "H_module" in name}
    apart.load_state_dict(weights)
    torch.testing.assert_close(shared(**batch).logits, apart(**batch).logits, rtol=0, atol=0)


def test_shared_modules_must_be_equally_deep(small_config):
    with pytest.raises(ValueError, match="L_layers=2 is not allowed; it must be equal to H_layers=1"):
        small_config(share_modules=True)
