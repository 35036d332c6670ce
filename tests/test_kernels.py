"""The Triton kernels of hrm_hf/kernels: on a GPU, otherwise in Triton's interpreter in a separate process."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch


pytest.importorskip("triton", reason="triton comes with PyTorch for CUDA only")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu"
needs_kernels = pytest.mark.skipif(
    DEVICE == "cpu" and not INTERPRETED, reason="no GPU; test_kernels_in_the_interpreter runs it in the interpreter"
)
MODELS = {
    "rope": {},
    "rope, pre-norm, all cycles": {"norm_position": "pre", "gradient_depth": "all_cycles"},
    "grid": {"position_embedding_type": "grid", "grid_shape": [4, 4], "block_shape": [2, 2], "puzzle_emb_ndim": 0},
    "rope_2d": {"position_embedding_type": "rope_2d", "grid_shape": [4, 4]},
    "token mixing": {"token_mixer": "mlp", "position_embedding_type": "none"},
}


@pytest.fixture(scope="module", autouse=True)
def bfloat16_in_the_interpreter():
    """Triton 3.6 interprets bfloat16 as bits: it multiplies them as integers, and truncates instead of rounding."""
    if not INTERPRETED:
        yield
        return
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    cast = InterpreterBuilder.cast_impl

    def widen(handle):
        bits = handle.data
        return (bits.astype(np.uint32) << 16).view(np.float32) if handle.dtype.scalar == tl.bfloat16 else bits

    def create_dot(self, a, b, d, input_precision, max_num_imprecise_acc):
        return TensorHandle(np.matmul(widen(a), widen(b), dtype=d.data.dtype) + d.data, d.dtype.scalar)

    def cast_impl(self, handle, dtype):
        if handle.dtype.scalar == tl.float32 and dtype.scalar == tl.bfloat16:
            bits = np.ascontiguousarray(handle.data).view(np.uint32)
            return TensorHandle(((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16), tl.bfloat16)
        return cast(self, handle, dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InterpreterBuilder, "create_dot", create_dot)
        patch.setattr(InterpreterBuilder, "cast_impl", cast_impl)
        yield


@pytest.fixture
def packed():
    """Make random `qkv` of two sequences in bfloat16, and angles."""

    def make(length: int, num_heads: int, head_dim: int, rotate: bool):
        generator = torch.Generator().manual_seed(0)
        qkv = torch.randn(2, length, 3 * num_heads * head_dim, generator=generator).bfloat16().to(DEVICE)
        if not rotate:
            return qkv.requires_grad_(), None, None
        frequencies = 10000.0 ** -(torch.arange(0, head_dim, 2, device=DEVICE) / head_dim)
        angles = torch.outer(torch.arange(length, device=DEVICE), frequencies).repeat(1, 2)
        return qkv.requires_grad_(), angles.cos(), angles.sin()

    return make


def attention_in_float64(qkv, cos, sin, num_heads, offsets=None):
    if offsets is not None:
        qkv = qkv + torch.nn.functional.pad(offsets, (0, offsets.shape[1] // 2))
    batch, length, _ = qkv.shape
    query, key, value = qkv.view(batch, length, 3, num_heads, -1).permute(2, 0, 3, 1, 4)
    if cos is not None:
        query, key = rotate_in_float64(query, cos, sin), rotate_in_float64(key, cos, sin)
    weights = (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1)
    return (weights @ value).transpose(1, 2).flatten(2)


def rotate_in_float64(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return x * cos.double() + torch.cat((-second, first), dim=-1) * sin.double()


def relative_error(values: torch.Tensor, wanted: torch.Tensor) -> float:
    values, wanted = values.detach().double(), wanted.detach().double()
    return float((values - wanted).norm() / wanted.norm())


@pytest.mark.skipif(DEVICE == "cuda" or INTERPRETED, reason="the other tests run the kernels in this process")
def test_kernels_in_the_interpreter():
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", __file__],
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert tests.returncode == 0, tests.stdout[-8000:]
    assert "passed" in tests.stdout


@pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
@pytest.mark.parametrize(
    ("module", "name", "shapes"),
    [
        ("rope_attention", "_forward", {"D": 64, "ROTATE": True, "MOVE": False}),
        ("rope_attention", "_forward", {"D": 32, "ROTATE": False, "MOVE": True}),
        ("rope_attention", "_backward", {"D": 64, "ROTATE": True, "MOVE": False}),
        ("rope_attention", "_backward", {"D": 32, "ROTATE": False, "MOVE": True}),
        ("swiglu", "_forward", {"K": 512, "N": 1536, "SAVE": False}),
        ("swiglu", "_forward", {"K": 256, "N": 768, "SAVE": True}),
        ("swiglu", "_backward", {"K": 512, "N": 1536}),
    ],
)
def test_kernels_compile_for_an_h100(module, name, shapes):
    """Errors that only the compiler finds, not the interpreter: types and shapes that change in a loop."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    import hrm_hf.kernels  # noqa: F401

    tuned = getattr(sys.modules[f"hrm_hf.kernels.{module}"], name)
    config, kernel = tuned.configs[0], tuned.fn
    constants = {"S": 82, "H": 8, "LAST_KEYS": 32, "SAVE_LOGSUMEXP": True, "BLOCK_Q": 128}
    constants |= {"MULTIPROCESSORS": 132, "ALTERNATE": 64}
    constants = {key: value for key, value in (constants | shapes | config.kwargs).items() if key in kernel.arg_names}
    types = {"scale": "fp32", "tokens": "i32", "cos": "*fp32", "sin": "*fp32", "logsumexp": "*fp32"}
    if config.pre_hook is not None:  # it gives descriptors their blocks
        descriptors = {arg: SimpleNamespace() for arg in kernel.arg_names if arg not in constants | types}
        config.pre_hook(descriptors | config.kwargs)
        types |= {arg: "tensordesc<bf16[{},{}]>".format(*made.block_shape) for arg, made in descriptors.items()}
    signature = {arg: "constexpr" if arg in constants else types.get(arg, "*bf16") for arg in kernel.arg_names}
    compiled = triton.compile(
        ASTSource(
            fn=kernel,
            signature=signature,
            constexprs={(kernel.arg_names.index(arg),): value for arg, value in constants.items()},
            attrs={(i,): [["tt.divisibility", 16]] for i, arg in enumerate(kernel.arg_names) if "*" in signature[arg]},
        ),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": config.num_warps, "num_stages": config.num_stages, "maxnreg": config.maxnreg},
    )
    assert "wgmma" in compiled.asm["ptx"]  # the tensor cores of an H100
    assert compiled.metadata.shared <= 227 * 1024


@needs_kernels
@pytest.mark.parametrize("moved", [True, False], ids=["moved", "not moved"])
@pytest.mark.parametrize("rotate", [True, False], ids=["rotated", "not rotated"])
@pytest.mark.parametrize("head_dim", [64, 32])
@pytest.mark.parametrize("length", [5, 64, 81, 82, 128])
def test_attention_and_its_gradient_are_those_of_float64(packed, length, head_dim, rotate, moved):
    from hrm_hf.kernels import rope_attention

    qkv, cos, sin = packed(length, 3, head_dim, rotate)
    generator = torch.Generator().manual_seed(1)
    offsets = exact_offsets = None
    if moved:
        offsets = torch.randn(length, 6 * head_dim, generator=generator).bfloat16().to(DEVICE).requires_grad_()
        exact_offsets = offsets.detach().double().requires_grad_()
    out = rope_attention(qkv, cos, sin, num_heads=3, offsets=offsets)
    d_out = torch.randn(out.shape, generator=generator).bfloat16().to(DEVICE)
    out.backward(d_out)
    exact_qkv = qkv.detach().double().requires_grad_()
    exact_out = attention_in_float64(exact_qkv, cos, sin, 3, exact_offsets)
    exact_out.backward(d_out.double())
    if moved:
        assert relative_error(offsets.grad, exact_offsets.grad) < 1e-2
    assert out.dtype == torch.bfloat16 and out.shape == (2, length, 3 * head_dim)
    assert relative_error(out, exact_out) < 1e-2
    for part, exact in zip(qkv.grad.chunk(3, -1), exact_qkv.grad.chunk(3, -1), strict=True):
        assert relative_error(part, exact) < 1e-2


@needs_kernels
def test_attention_without_gradient_is_the_same(packed):
    from hrm_hf.kernels import rope_attention

    qkv, cos, sin = packed(82, 2, 64, True)
    with torch.no_grad():
        without = rope_attention(qkv, cos, sin, num_heads=2)
    assert torch.equal(without, rope_attention(qkv, cos, sin, num_heads=2))


@needs_kernels
def test_attention_of_large_scores_stays_finite(packed):
    from hrm_hf.kernels import rope_attention

    # negative scores everywhere: a key that does not exist would win with its score of 0
    qkv, cos, sin = packed(82, 2, 64, False)
    with torch.no_grad():
        query, key, _ = qkv.chunk(3, dim=-1)
        query.copy_(query.abs() * 20)
        key.copy_(-key.abs() * 20)
    out = rope_attention(qkv, cos, sin, num_heads=2)
    out.sum().backward()
    assert relative_error(out, attention_in_float64(qkv.detach().double(), cos, sin, 2)) < 1e-2
    assert qkv.grad.isfinite().all()


@needs_kernels
def test_the_attention_operator_is_registered_as_torch_compile_wants_it(packed):
    import hrm_hf.kernels  # noqa: F401

    qkv, cos, sin = packed(17, 2, 32, True)
    offsets = torch.zeros(17, 2 * 2 * 32, dtype=torch.bfloat16, device=DEVICE, requires_grad=True)
    for arguments in (
        (qkv, None, cos, sin, 2, True),
        (qkv, offsets, None, None, 2, True),
        (qkv.detach(), None, None, None, 2, False),
    ):
        torch.library.opcheck(torch.ops.hrm_hf.rope_attention, arguments)


@needs_kernels
@pytest.mark.parametrize(
    ("shape", "dtype", "num_heads", "words"),
    [
        ((2, 129, 3 * 64), torch.bfloat16, 2, ["129 positions", "at most 128"]),
        ((2, 16, 3 * 64), torch.float16, 2, ["torch.float16"]),
        ((2, 16, 3 * 64), torch.bfloat16, 4, ["4 heads", "D 32 or 64"]),
    ],
)
def test_attention_names_what_it_cannot_do(shape, dtype, num_heads, words):
    from hrm_hf.kernels import rope_attention

    with pytest.raises(ValueError) as error:
        rope_attention(torch.zeros(shape, dtype=dtype, device=DEVICE), None, None, num_heads)
    assert all(word in str(error.value) for word in words), error.value


@needs_kernels
@pytest.mark.parametrize("shape", [(300, 128, 256), (64, 192, 128), (1, 64, 128)])
def test_swiglu_is_that_of_float64(shape):
    from hrm_hf.kernels import swiglu_matmul

    tokens, hidden_size, intermediate_size = shape
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tokens, hidden_size, generator=generator).bfloat16().to(DEVICE)
    weight = torch.randn(2 * intermediate_size, hidden_size, generator=generator) * hidden_size**-0.5
    weight = weight.bfloat16().to(DEVICE)
    gate, up = (x.double() @ weight.double().T).chunk(2, -1)
    h = swiglu_matmul(x, weight)
    assert h.dtype == torch.bfloat16 and h.shape == (tokens, intermediate_size)
    assert relative_error(h, torch.nn.functional.silu(gate) * up) < 1e-2


@needs_kernels
@pytest.mark.parametrize("shape", [(300, 128, 256), (64, 192, 128), (1, 64, 128)])
def test_the_feed_forward_layer_and_its_gradient_are_those_of_float64(shape):
    from hrm_hf.kernels import swiglu_mlp

    tokens, hidden_size, intermediate_size = shape
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tokens, hidden_size, generator=generator)
    weight = torch.randn(2 * intermediate_size, hidden_size, generator=generator) * hidden_size**-0.5
    down = torch.randn(hidden_size, intermediate_size, generator=generator) * intermediate_size**-0.5
    arguments = [values.bfloat16().to(DEVICE).requires_grad_() for values in (x, weight, down)]
    out = swiglu_mlp(*arguments)
    d_out = torch.randn(out.shape, generator=generator).bfloat16().to(DEVICE)
    out.backward(d_out)

    exact = [values.detach().double().requires_grad_() for values in arguments]
    gate, up = (exact[0] @ exact[1].T).chunk(2, -1)
    exact_out = (torch.nn.functional.silu(gate) * up) @ exact[2].T
    exact_out.backward(d_out.double())
    assert out.dtype == torch.bfloat16 and out.shape == (tokens, hidden_size)
    assert relative_error(out, exact_out) < 1e-2
    for values, wanted in zip(arguments, exact, strict=True):
        assert relative_error(values.grad, wanted.grad) < 1e-2


@needs_kernels
def test_the_operators_of_swiglu_are_registered_as_torch_compile_wants_them():
    import hrm_hf.kernels  # noqa: F401

    generator = torch.Generator().manual_seed(0)
    x, weight, down = (
        torch.randn(shape, generator=generator).bfloat16().to(DEVICE).requires_grad_()
        for shape in ((17, 64), (256, 64), (64, 128))
    )
    torch.library.opcheck(torch.ops.hrm_hf.swiglu_matmul, (x.detach(), weight.detach()))
    arguments = (x, weight, weight.detach(), down)  # as if its rows did alternate
    # in bfloat16, differences between two orders of summation are not errors
    torch.library.opcheck(torch.ops.hrm_hf.swiglu_mlp, arguments, rtol=1e-2, atol=1e-2)


@needs_kernels
def test_swiglu_has_no_gradient():
    from hrm_hf.kernels import swiglu_matmul

    x = torch.zeros(2, 64, dtype=torch.bfloat16, device=DEVICE, requires_grad=True)
    with pytest.raises(ValueError, match="no gradient"):
        swiglu_matmul(x, torch.zeros(256, 64, dtype=torch.bfloat16, device=DEVICE))


@needs_kernels
def test_the_feed_forward_layer_names_a_wrong_matrix():
    from hrm_hf.kernels import swiglu_mlp

    x, weight, down = (torch.zeros(shape, dtype=torch.bfloat16) for shape in ((2, 64), (256, 64), (128, 64)))
    with pytest.raises(ValueError, match=r"\(128, 64\).* must be \(64, 128\)"):
        swiglu_mlp(x, weight, down)


def loss_and_gradients(model, batch, bfloat16: bool) -> tuple[float, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model.zero_grad()
    with torch.autocast(DEVICE, torch.bfloat16, enabled=bfloat16):
        loss = model(**batch).loss
    loss.backward()
    return loss.item(), {name: param.grad for name, param in model.named_parameters() if param.grad is not None}


@needs_kernels
@pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS.keys())
def test_a_model_learns_the_same_with_the_kernels(small_model, batch, changes, monkeypatch):
    from hrm_hf.kernels import patch, use_fused_kernels

    batch = {name: values[:2].to(DEVICE) for name, values in batch.items()}
    sizes = {"hidden_size": 128, "intermediate_size": 128, "puzzle_emb_ndim": 128}
    model = small_model(**(sizes | changes)).to(DEVICE).train()
    # the halting values of `small_model` are large, and so would be their rounding errors in the loss
    torch.nn.init.normal_(model.q_head.weight, std=0.1)
    # scores of 60 from vectors in bfloat16 are off by tenths with and without the kernels; scores of 5 can be compared
    for name, param in model.named_parameters():
        if name.endswith("positions.bias"):
            param.data.mul_(0.3)
    if model.config.puzzle_emb_ndim == 0:
        del batch["puzzle_identifiers"]
    exact_loss, exact_gradients = loss_and_gradients(model, batch, bfloat16=False)
    loss, gradients = loss_and_gradients(model, batch, bfloat16=True)

    calls = []
    for kernel in (patch.rope_attention, patch.swiglu_matmul, patch.swiglu_mlp):
        name = kernel.__name__
        monkeypatch.setattr(patch, name, lambda *args, kernel=kernel, name=name: calls.append(name) or kernel(*args))
    use_fused_kernels(model)
    fused_loss, fused_gradients = loss_and_gradients(model, batch, bfloat16=True)

    of_attention = set() if model.config.token_mixer == "mlp" else {"rope_attention"}
    assert set(calls) == {"swiglu_matmul", "swiglu_mlp"} | of_attention
    # not with the loss in bfloat16 without the kernels, which is as far from float32 the other way
    assert fused_loss == pytest.approx(exact_loss, rel=1e-2)
    assert fused_gradients.keys() == gradients.keys()
    # as far from float32 as the model in bfloat16 without the kernels
    errors = [
        sum(relative_error(these[name], exact) for name, exact in exact_gradients.items())
        for these in (fused_gradients, gradients)
    ]
    assert errors[0] < 1.3 * errors[1], errors


@needs_kernels
def test_calls_that_the_kernels_are_not_for_stay_as_they_were(small_model, batch):
    from hrm_hf.kernels import use_fused_kernels

    model = small_model(attn_implementation="eager").to(DEVICE)
    batch = {name: values.to(DEVICE) for name, values in batch.items()}
    with torch.no_grad():
        before = model(**batch, output_attentions=True)
        use_fused_kernels(model)
        after = model(**batch, output_attentions=True)
    assert torch.equal(before.logits, after.logits)  # float32
    assert all(torch.equal(old, new) for old, new in zip(before.attentions, after.attentions, strict=True))


@needs_kernels
def test_a_model_without_blocks_is_refused():
    from hrm_hf.kernels import use_fused_kernels

    with pytest.raises(ValueError, match="Linear has no HRMBlock"):
        use_fused_kernels(torch.nn.Linear(2, 2))


@needs_kernels
@pytest.mark.parametrize(("capability", "is_used"), [((8, 9), False), ((9, 0), True), ((12, 0), True)])
def test_swiglu_is_for_gpus_with_a_copy_engine(small_model, monkeypatch, capability, is_used):
    from hrm_hf.kernels import patch, use_fused_kernels

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    model = small_model()
    use_fused_kernels(model)
    block = model.model.L_module.layers[0]
    assert block.self_attn.forward.__func__ is patch._attention_forward
    assert (block.mlp.forward.__func__ is patch._mlp_forward) == is_used


@needs_kernels
def test_torch_compile_keeps_a_block_in_one_graph(small_model):
    from hrm_hf.kernels import use_fused_kernels

    model = small_model(hidden_size=128, intermediate_size=128, puzzle_emb_ndim=128).to(DEVICE)
    use_fused_kernels(model)
    block = model.model.L_module.layers[0]
    hidden_states = torch.randn(2, 17, 128, device=DEVICE).bfloat16()
    angles = model.model.rotary_emb(hidden_states, torch.arange(17, device=DEVICE).unsqueeze(0))

    compiled = torch.compile(block.forward, backend="aot_eager", fullgraph=True)
    for with_gradient in (True, False):
        with torch.set_grad_enabled(with_gradient), torch.autocast(DEVICE, torch.bfloat16):
            wanted = block(hidden_states, position_embeddings=angles)
            values = compiled(hidden_states, position_embeddings=angles)
        torch.testing.assert_close(values, wanted)
        if with_gradient:
            values.float().square().sum().backward()
            assert all(param.grad.isfinite().all() for param in block.parameters())
