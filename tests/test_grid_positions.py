"""`position_embedding_type="grid"`: vectors for row, column and block."""

import pytest
import torch

from modeling_hrm import HRMForGridTask


GRID = {"position_embedding_type": "grid", "grid_shape": [4, 4], "block_shape": [2, 2], "num_attention_heads": 4}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grid_shape": None}, ["grid_shape=None", "16 cells"]),
        ({"grid_shape": [4, 5]}, ["grid_shape=[4, 5]", "16 cells"]),
        ({"grid_shape": [4, 4.0]}, ["grid_shape=[4, 4.0]"]),
        ({"block_shape": [3, 2]}, ["block_shape=[3, 2]", "tile a board of [4, 4]"]),
        ({"block_shape": 2}, ["block_shape=2"]),
    ],
)
def test_a_board_that_does_not_fit_is_named(small_config, changes, words):
    with pytest.raises(ValueError) as error:
        small_config(**(GRID | changes))
    assert all(word in str(error.value) for word in words), error.value


def test_cells_share_the_vectors_of_row_column_and_block(small_model):
    positions = small_model(**GRID).model.embed_positions
    with torch.no_grad():
        for parameter in positions.parameters():
            parameter.zero_()
        positions.block[3] = 1.0
        positions.row[0] = 10.0
    board = positions().view(4, 4, -1)[..., 0]
    assert board.tolist() == [[10, 10, 10, 10], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]


def test_a_board_without_blocks(small_model, batch):
    model = small_model(**(GRID | {"grid_shape": [2, 8], "block_shape": None}))
    assert {name for name, _ in model.model.embed_positions.named_parameters()} == {"row", "column"}
    assert model(batch["input_ids"]).logits.shape == (6, 16, 6)


@pytest.mark.parametrize("kind", ["grid", "learned", "rope_2d", "rope", "none"])
@pytest.mark.parametrize("puzzle_emb_ndim", [0, 16])
def test_registers_come_before_the_positions(small_model, batch, kind, puzzle_emb_ndim):
    options = GRID | {"position_embedding_type": kind, "puzzle_emb_ndim": puzzle_emb_ndim}
    model = small_model(**options, num_registers=2)
    output = model(batch["input_ids"], labels=batch["input_ids"])
    assert output.logits.shape == (6, 16, 6)
    output.loss.backward()
    assert model.model.registers.weight.grad.abs().sum() > 0
    if kind in ("grid", "learned"):
        # a register is no cell: the vectors of cells reach the cells alone
        before = model.model.embed(batch["input_ids"], None, None, torch.arange(18 + (puzzle_emb_ndim > 0))[None])
        with torch.no_grad():
            for parameter in model.model.embed_positions.parameters():
                parameter.add_(1.0)
        after = model.model.embed(batch["input_ids"], None, None, torch.arange(18 + (puzzle_emb_ndim > 0))[None])
        changed = (after != before).any(-1).all(0)
        assert changed.tolist() == [False] * 2 + [kind == "learned"] * (puzzle_emb_ndim > 0) + [True] * 16


def test_heads_start_with_a_view_of_their_own_unit(small_model, batch):
    model = small_model(**GRID, attn_implementation="eager", puzzle_emb_ndim=0, hidden_size=128)
    for layer in model.model.L_module.layers:
        torch.nn.init.zeros_(layer.self_attn.qkv_proj.weight)
    weights = model(batch["input_ids"], output_attentions=True).attentions[0][0].view(4, 4, 4, 4, 4)
    rows, columns, blocks, anywhere = weights[:, 1, 2]  # the cell in row 1, column 2
    assert rows[1].sum() > rows.sum() / 2
    assert columns[:, 2].sum() > columns.sum() / 2
    assert blocks[:2, 2:].sum() > blocks.sum() / 2
    assert torch.allclose(anywhere, torch.full((4, 4), 1 / 16))


def test_position_vectors_survive_saving_and_loading(small_model, batch, tmp_path):
    model = small_model(**GRID)
    for name, parameter in model.named_parameters():
        if "positions" in name:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(tmp_path)
    again = HRMForGridTask.from_pretrained(tmp_path)
    assert torch.equal(model(batch["input_ids"]).logits, again(batch["input_ids"]).logits)


def test_missing_position_vectors_are_initialized_on_load(small_model, tmp_path):
    # from_pretrained builds on the meta device, so what is not in the file must come from _init_weights
    small_model(**(GRID | {"position_embedding_type": "rope"})).save_pretrained(tmp_path)
    config = small_model(**GRID).config
    model, report = HRMForGridTask.from_pretrained(tmp_path, config=config, output_loading_info=True)
    assert "model.H_module.layers.0.self_attn.positions.row" in report["missing_keys"]
    query, key = model.model.H_module.layers[0].self_attn.positions.row.unbind(1)
    assert torch.equal(query, key) and query.view(4, 4, 8)[:, 0].std() > 0.5
    assert not query.view(4, 4, 8)[:, 1:].any()  # those heads look at columns, blocks or anywhere
    assert 0.1 < model.model.embed_positions.row.std() * 32**0.5 < 2


@pytest.mark.parametrize("implementation", ["sdpa", "flex_attention"])
def test_attention_implementations_agree_with_grid_positions(agrees_with_eager, implementation):
    agrees_with_eager(implementation, **GRID)


def test_a_part_of_a_board_is_refused(small_model):
    with pytest.raises(ValueError, match="12 tokens.*4x4"):
        small_model(**GRID)(input_ids=torch.zeros(1, 12, dtype=torch.long))
