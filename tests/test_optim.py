"""AdamATan2 and SignSGD against their formulas, step by step."""

import math

import pytest
import torch
from torch import nn

from hrm_hf.training.adam_atan2 import AdamATan2
from hrm_hf.training.arguments import TrainArguments
from hrm_hf.training.muon import Muon, orthogonal
from hrm_hf.training.optim import build_optimizers
from hrm_hf.training.schedule import learning_rate_factor
from hrm_hf.training.sign_sgd import SignSGD


def arguments(**options) -> TrainArguments:
    return TrainArguments(output_dir="unused", learning_rate=1e-3, weight_decay=0.1, **options)


def test_adam_atan2_by_hand():
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = AdamATan2([weight], lr=0.1, betas=(0.9, 0.95), weight_decay=0.5)
    values, m, v = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    for step, grads in enumerate([(0.3, -4.0), (-0.1, 2.0), (0.0, 1.0)], start=1):
        weight.grad = torch.tensor(grads)
        optimizer.step()
        for i, grad in enumerate(grads):
            m[i] = 0.9 * m[i] + 0.1 * grad
            v[i] = 0.95 * v[i] + 0.05 * grad * grad
            update = math.atan2(m[i] / (1 - 0.9**step), math.sqrt(v[i] / (1 - 0.95**step)))
            values[i] = values[i] * (1 - 0.1 * 0.5) - 0.1 * update
        assert weight.tolist() == pytest.approx(values, rel=1e-5)


def test_adam_atan2_does_not_depend_on_the_scale_of_the_gradient():
    updates = []
    for scale in (1e-12, 1.0, 1e12):
        weight = nn.Parameter(torch.zeros(4))
        weight.grad = torch.tensor([1.0, -2.0, 0.5, 3.0]) * scale
        AdamATan2([weight], lr=0.1).step()
        updates.append(weight.detach().clone())
    torch.testing.assert_close(updates[0], updates[1])
    torch.testing.assert_close(updates[2], updates[1])


def test_adam_atan2_continues_from_its_state():
    def run(steps_before_reload: int) -> torch.Tensor:
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(5))
        optimizer = AdamATan2([weight], lr=0.1, weight_decay=0.1)
        for step in range(6):
            if step == steps_before_reload:
                state = optimizer.state_dict()
                optimizer = AdamATan2([weight], lr=0.3)
                optimizer.load_state_dict(state)
            weight.grad = torch.randn(5)
            optimizer.step()
        return weight.detach()

    assert torch.equal(run(3), run(-1))


def test_signsgd_touches_only_the_rows_of_the_batch():
    table = nn.Embedding(4, 3, sparse=True)
    before = table.weight.detach().clone()
    factors = torch.tensor([[1.0], [3.0], [-2.0]])
    (table(torch.tensor([2, 0, 2])) * factors).sum().backward()  # row 2: 1 - 2 = -1, row 0: 3
    SignSGD([table.weight], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(table.weight[[1, 3]], before[[1, 3]])
    torch.testing.assert_close(table.weight[0], before[0] * 0.95 - 0.1)
    torch.testing.assert_close(table.weight[2], before[2] * 0.95 + 0.1)


def test_signsgd_refuses_a_dense_gradient():
    table = nn.Embedding(4, 3)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="sparse = True"):
        SignSGD([table.weight]).step()


def test_puzzle_embeddings_go_to_signsgd_and_nothing_else(small_model, batch):
    model = small_model(halt_exploration_prob=0.0).train()
    optimizers = build_optimizers(model, arguments())
    assert [type(optimizer) for optimizer in optimizers] == [AdamATan2, SignSGD]
    (puzzle_weight,) = optimizers[1].param_groups[0]["params"]
    assert puzzle_weight is model.model.puzzle_embeddings.weight
    handled = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    assert handled == {id(param) for param in model.parameters()}
    model(**batch).loss.backward()
    assert puzzle_weight.grad.is_sparse


def test_positions_get_no_weight_decay(small_model):
    model = small_model(position_embedding_type="grid", grid_shape=[4, 4], block_shape=[2, 2], puzzle_emb_ndim=0)
    (optimizer,) = build_optimizers(model, arguments())
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    # rows, columns and blocks, at the input and in each of three layers
    assert len(spared["params"]) == 3 * (1 + 3)
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))


def test_no_puzzle_embeddings_no_signsgd(small_model):
    assert len(build_optimizers(small_model(puzzle_emb_ndim=0), arguments())) == 1


@pytest.mark.parametrize("options", [{"lr": -1.0}, {"betas": (0.9, 1.0)}, {"weight_decay": -0.1}])
def test_bad_hyperparameters_are_refused(options):
    with pytest.raises(ValueError, match="not allowed"):
        AdamATan2([nn.Parameter(torch.zeros(1))], **options)


# --- Muon


def test_orthogonal_makes_singular_values_alike():
    matrices = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(0))
    result = orthogonal(matrices)
    singular = torch.linalg.svdvals(result)
    assert ((singular > 0.6) & (singular < 1.3)).all()
    # the singular vectors are those of the matrix: U V^T and the result only differ in singular values
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    torch.testing.assert_close(u @ torch.diag_embed(torch.einsum("bij,bij->bj", u, result @ vh.mT)) @ vh, result)


def test_muon_by_hand():
    torch.manual_seed(0)
    weight, before = nn.Parameter(torch.randn(6, 4)), None
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5)
    momentum = torch.zeros(6, 4)
    for _ in range(3):
        before, weight.grad = weight.detach().clone(), torch.randn(6, 4)
        optimizer.step()
        momentum = 0.9 * momentum + 0.1 * weight.grad
        direction = orthogonal((0.1 * weight.grad + 0.9 * momentum).T.unsqueeze(0))[0].T * 0.2 * math.sqrt(6)
        torch.testing.assert_close(weight.detach(), before * (1 - 0.1 * 0.5) - 0.1 * direction)


def test_muon_treats_parts_as_matrices_of_their_own():
    torch.manual_seed(0)
    whole, grad = nn.Parameter(torch.zeros(6, 4)), torch.randn(6, 4)
    thirds = [nn.Parameter(torch.zeros(2, 4)) for _ in range(3)]
    whole.grad = grad
    for third, part in zip(thirds, grad.chunk(3), strict=True):
        third.grad = part
    Muon([{"params": [whole], "parts": 3}]).step()
    Muon(thirds).step()
    torch.testing.assert_close(whole.detach(), torch.cat([third.detach() for third in thirds]))


def test_muon_gets_the_matrices_of_the_blocks(small_model):
    model = small_model()
    adam, muon, signsgd = build_optimizers(model, arguments(optimizer="muon"))
    assert [type(optimizer) for optimizer in (adam, muon, signsgd)] == [AdamATan2, Muon, SignSGD]
    names = {id(param): name for name, param in model.named_parameters()}
    by_parts = {
        group["parts"]: {names[id(param)].split(".")[-2] for param in group["params"]} for group in muon.param_groups
    }
    assert by_parts == {3: {"qkv_proj"}, 2: {"gate_up_proj"}, 1: {"o_proj", "down_proj"}}
    assert sum(len(group["params"]) for group in muon.param_groups) == 4 * 3  # four matrices in each of three layers
    handled = [
        id(p) for optimizer in (adam, muon, signsgd) for group in optimizer.param_groups for p in group["params"]
    ]
    assert sorted(handled) == sorted(names)


def test_muon_refuses_what_is_no_matrix():
    with pytest.raises(ValueError, match=r"not a parameter of shape \(5,\)"):
        Muon([nn.Parameter(torch.zeros(5))])


# --- steps that are skipped


@pytest.mark.parametrize("make", [AdamATan2, Muon])
def test_a_skipped_step_leaves_weights_and_state_as_they_were(make):
    torch.manual_seed(0)
    weight, twin = nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.ones(3, 4))
    skipping, never = make([weight]), make([twin])
    for number in range(4):
        weight.grad = torch.randn(3, 4)
        if number == 2:
            weight.grad[0, 0] = torch.nan
        else:
            twin.grad = weight.grad.clone()
            never.step()
        skipping.found_inf = torch.tensor(number == 2)
        skipping.step()
    assert torch.equal(weight, twin)


def test_a_skipped_step_leaves_puzzle_embeddings_as_they_were():
    table = nn.Embedding(4, 3, sparse=True)
    before = table.weight.detach().clone()
    (table(torch.tensor([2, 0, 2])) * torch.inf).sum().backward()
    optimizer = SignSGD([table.weight])
    optimizer.found_inf = torch.tensor(True)
    optimizer.step()
    assert torch.equal(table.weight, before)


# --- on the device


@pytest.mark.parametrize("make", [AdamATan2, Muon])
def test_a_compiled_update_is_the_same(make):
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.ones(8, 4)) for _ in range(2)]
    plain, compiled = (make([weight], lr=0.1) for weight in weights)
    compiled.compile()
    for number in range(1, 4):
        grad = torch.randn(8, 4)
        for weight, optimizer in zip(weights, (plain, compiled), strict=True):
            weight.grad = grad
            optimizer.found_inf = torch.tensor(False)
            optimizer.set_learning_rate(1 / number)
            optimizer.step()
    torch.testing.assert_close(*weights)
    # a checkpoint of one resumes in the other, and the rate stays the tensor that compiled code reads
    rate = compiled.param_groups[0]["lr"]
    compiled.load_state_dict(plain.state_dict())
    assert compiled.param_groups[0]["lr"] is rate and rate.item() == pytest.approx(0.1 / 3)


# --- schedule


def test_the_rate_is_constant_and_then_falls_linearly_over_the_last_share():
    factors = [learning_rate_factor(step, 10, 100, 0.02, decay_share=0.4) for step in (5, 10, 60, 80, 100, 120)]
    assert factors == pytest.approx([0.5, 1.0, 1.0, 0.51, 0.02, 0.02])


def test_the_rate_can_follow_the_time_instead_of_the_steps():
    # a slow machine is at step 30 of 100 when 80 % of the time is over
    assert learning_rate_factor(30, 10, 100, 0.02, decay_share=0.4, progress=0.8) == pytest.approx(0.51)
    assert learning_rate_factor(5, 10, 100, 0.02, decay_share=0.4, progress=0.8) == 0.5  # warm-up is by steps
