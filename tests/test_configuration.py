"""HRMConfig: defaults, derived sizes, and one clear sentence for every bad value."""

import pytest

from configuration_hrm import HRMConfig, swiglu_intermediate_size


def test_defaults_are_the_published_model():
    config = HRMConfig()
    assert (config.hidden_size, config.num_attention_heads, config.H_layers, config.L_layers) == (512, 8, 4, 4)
    assert (config.H_cycles, config.L_cycles, config.halt_max_steps) == (2, 2, 16)
    assert config.intermediate_size == swiglu_intermediate_size(512, 4.0) == 1536
    assert config.num_prefix_positions == 1
    assert config.num_hidden_layers == 2 * (2 * 4 + 4)
    assert config.rope_parameters == {"rope_type": "default", "rope_theta": 10000.0}


@pytest.mark.parametrize(("ndim", "prefix"), [(0, 0), (1, 1), (512, 1), (513, 2)])
def test_prefix_positions_hold_the_puzzle_embedding(ndim, prefix):
    assert HRMConfig(puzzle_emb_ndim=ndim).num_prefix_positions == prefix


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 500}, ["hidden_size=500", "multiple of num_attention_heads", "8"]),
        ({"hidden_size": 24}, ["hidden_size=24", "even width"]),
        ({"hidden_size": 0}, ["hidden_size=0", "at least 1"]),
        ({"hidden_size": 512.0}, ["hidden_size=512.0", "integer"]),
        ({"H_cycles": True}, ["H_cycles=True", "integer"]),
        ({"L_layers": -1}, ["L_layers=-1", "at least 1"]),
        ({"puzzle_emb_ndim": -1}, ["puzzle_emb_ndim=-1", "at least 0"]),
        ({"prelude_layers": -1}, ["prelude_layers=-1", "integer of at least 0"]),
        ({"prelude_layers": True}, ["prelude_layers=True", "integer of at least 0"]),
        ({"coda_layers": 1.0}, ["coda_layers=1.0", "integer of at least 0"]),
        ({"input_injection": "gated"}, ["input_injection='gated'", "'add' or 'scaled' or 'every_block'"]),
        ({"input_injection": None}, ["input_injection=None", "'add' or 'scaled' or 'every_block'"]),
        ({"halt_max_steps": 0}, ["halt_max_steps=0", "at least 1"]),
        ({"halt_exploration_prob": 1.5}, ["halt_exploration_prob=1.5", "between 0 and 1"]),
        ({"halt_threshold": 1}, ["halt_threshold=1", "above 0 and below 1"]),
        ({"halting": "never"}, ["halting='never'", "'q_learning' or 'lean'"]),
        ({"gradient_depth": "all"}, ["gradient_depth='all'", "'last_step' or 'last_cycle'"]),
        ({"position_embedding_type": "alibi"}, ["position_embedding_type='alibi'", "'rope' or 'learned'"]),
        ({"token_loss": "mse"}, ["token_loss='mse'", "'stablemax' or 'softmax'"]),
        ({"hidden_act": "relux"}, ["hidden_act='relux'", "silu"]),
        ({"hidden_act": []}, ["hidden_act=[]", "silu"]),
        ({"rope_parameters": 7}, ["rope_parameters=7", "dictionary"]),
        ({"rope_parameters": {"rope_type": 7, "rope_theta": 1.0}}, ["rope_parameters=", "rope_type"]),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0}}, ["rope_parameters=", "factor"]),
        ({"rope_theta": "x"}, ["rope_parameters=", "rope_theta above 0"]),
        ({"rms_norm_eps": float("inf")}, ["rms_norm_eps=inf", "positive"]),
        ({"num_hidden_layers": 3}, ["num_hidden_layers=3", "follows from the other fields", "24"]),
        ({"head_dim": 32}, ["head_dim=32", "follows from the other fields", "64"]),
        ({"return_dict": False}, ["return_dict=False", "True"]),
        ({"rms_norm_eps": 0}, ["rms_norm_eps=0", "positive"]),
        ({"pad_token_id": 11}, ["pad_token_id=11", "vocab_size"]),
        ({"is_causal": "yes"}, ["is_causal='yes'", "True or False"]),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(changes, words):
    with pytest.raises(ValueError) as error:
        HRMConfig(**changes)
    message = str(error.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_another_models_configuration_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 32}')
    with pytest.raises(ValueError, match="model_type='bert'.*'hrm'"):
        HRMConfig.from_pretrained(tmp_path)


def test_round_trip(tmp_path):
    config = HRMConfig(hidden_size=64, H_layers=1, halting="lean", puzzle_emb_ndim=0, rope_parameters=None)
    config.save_pretrained(tmp_path)
    assert HRMConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_a_derived_size_may_be_said_if_it_is_right():
    config = HRMConfig.from_dict({"head_dim": 64, "num_hidden_layers": 24, "num_prefix_positions": 1})
    assert (config.head_dim, config.num_hidden_layers) == (64, 24)
    assert "head_dim" not in config.to_dict()


@pytest.mark.parametrize("fields", [{"dtype": "relux"}, {"id2label": 7}, {"num_labels": "x"}, {"layer_types": 3}])
def test_a_general_field_of_another_type_is_a_value_error(fields):
    with pytest.raises(ValueError, match="a wrong type"):
        HRMConfig.from_dict(fields)


def test_a_general_field_is_checked_without_a_file_too():
    with pytest.raises(ValueError, match="a wrong type.*999"):
        HRMConfig(dtype="999")
