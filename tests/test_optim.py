"""AdamATan2 and SignSGD against their formulas, step by step."""

import math

import pytest
import torch
from torch import nn

from hrm_hf.training.optim import AdamATan2, SignSGD, build_optimizers


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
    optimizers = build_optimizers(model, 1e-3, 0.1, (0.9, 0.95), 1e-2, 0.1)
    assert [type(optimizer) for optimizer in optimizers] == [AdamATan2, SignSGD]
    (puzzle_weight,) = optimizers[1].param_groups[0]["params"]
    assert puzzle_weight is model.model.puzzle_embeddings.weight
    handled = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    assert handled == {id(param) for param in model.parameters()}
    model(**batch).loss.backward()
    assert puzzle_weight.grad.is_sparse


def test_positions_get_no_weight_decay(small_model):
    model = small_model(position_embedding_type="grid", grid_shape=[4, 4], block_shape=[2, 2], puzzle_emb_ndim=0)
    (optimizer,) = build_optimizers(model, 1e-3, 0.1, (0.9, 0.95), 1e-2, 0.1)
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    # rows, columns and blocks, at the input and in each of three layers
    assert len(spared["params"]) == 3 * (1 + 3)
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))


def test_no_puzzle_embeddings_no_signsgd(small_model):
    assert len(build_optimizers(small_model(puzzle_emb_ndim=0), 1e-3, 0.1, (0.9, 0.95), 1e-2, 0.1)) == 1


@pytest.mark.parametrize("arguments", [{"lr": -1.0}, {"betas": (0.9, 1.0)}, {"weight_decay": -0.1}])
def test_bad_hyperparameters_are_refused(arguments):
    with pytest.raises(ValueError, match="not allowed"):
        AdamATan2([nn.Parameter(torch.zeros(1))], **arguments)
