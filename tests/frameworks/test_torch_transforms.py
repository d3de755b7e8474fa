"""Every transform of torch.func and torch.autograd, and every tracer: right, or an error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import torch.autograd.forward_ad as forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

import multisubnet as ms
from multisubnet import torch as mst

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

DOUBLE = {"dtype": torch.float64}
GENERATOR = torch.Generator().manual_seed(0)
SAMPLES, WEIGHT, TANGENT, TARGETS = (
    torch.randn(shape, generator=GENERATOR, **DOUBLE) for shape in ((5, 3), (4, 3), (4, 3), (5, 3))
)
BIAS = torch.flip(WEIGHT, (0,))
INDEX = torch.tensor([0, 3, 1, 1, 0])
BATCH = torch.stack([WEIGHT, 2 * WEIGHT])


def plain(x, w, b):
    return torch.tanh(x * w[:, None] + b[:, None])


# Functions of samples, weight and bias, in this package and in PyTorch.
FUNCTIONS = {
    "affine": (lambda x, w, b: mst.affine(x, w, b, activation="tanh"), plain),
    "affine_select": (
        lambda x, w, b: mst.affine_select(x, w, b, INDEX, activation="tanh"),
        lambda x, w, b: torch.tanh(x * w[INDEX] + b[INDEX]),
    ),
    "mean_loss": (
        lambda x, w, b: mst.mean_loss(x.detach(), w, b, TARGETS, activation="tanh"),
        lambda x, w, b: (plain(x, w, b) - TARGETS).square().mean((1, 2)),
    ),
    "mean_loss_and_grad": (
        lambda x, w, b: mst.mean_loss_and_grad(x.detach(), w, b, TARGETS, activation="tanh")[0],
        lambda x, w, b: (plain(x, w, b) - TARGETS).square().mean((1, 2)),
    ),
}


def total(function):
    return lambda *operands: function(*operands).sin().sum()


def compiled(function, **options):
    torch._dynamo.reset()
    return torch.compile(function, backend="aot_eager", **options)


def recorded(function, w=WEIGHT):
    """Return the derivative from backward()."""
    w = w.clone().requires_grad_()
    return torch.autograd.grad(total(function)(w), w)[0]


def along_dual(function, w=WEIGHT):
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(w, TANGENT)
        return forward_ad.unpack_dual(function(dual)).tangent


def in_batch(function):
    w = WEIGHT.clone().requires_grad_()
    result = function(w)
    ones = torch.ones(3, *result.shape, **DOUBLE)
    return torch.autograd.grad(result, w, ones, is_grads_batched=True)[0]


class Subclass(torch.Tensor):
    pass


# Transforms of a function of weight. `functional` is the older module of transforms.
functional = torch.autograd.functional
RIGHT = {
    "vmap": lambda f: torch.func.vmap(f)(BATCH),
    "vmap of axis 1": lambda f: torch.func.vmap(f, in_dims=1)(BATCH.transpose(0, 1)),
    "vmap of vmap": lambda f: torch.func.vmap(torch.func.vmap(f))(BATCH[None]),
    "vmap of an empty batch": lambda f: torch.func.vmap(f)(BATCH[:0]),
    "grad": lambda f: torch.func.grad(total(f))(WEIGHT),
    "vjp": lambda f: torch.func.vjp(total(f), WEIGHT)[1](torch.ones((), **DOUBLE))[0],
    "jacrev": lambda f: torch.func.jacrev(f)(WEIGHT),
    "vmap of grad": lambda f: torch.func.vmap(torch.func.grad(total(f)))(BATCH),
    "vmap of grad of an empty batch": lambda f: torch.func.vmap(torch.func.grad(total(f)))(
        BATCH[:0]
    ),
    "grad of vmap": lambda f: torch.func.grad(total(torch.func.vmap(f)))(BATCH),
    "grad of vmap of an empty batch": lambda f: torch.func.grad(total(torch.func.vmap(f)))(
        BATCH[:0]
    ),
    "backward of vmap": lambda f: recorded(torch.func.vmap(f), BATCH),
    "functionalize": lambda f: torch.func.functionalize(f)(WEIGHT),
    "jacobian": lambda f: functional.jacobian(f, WEIGHT),
    "jacobian of vectors": lambda f: functional.jacobian(f, WEIGHT, vectorize=True),
    "grads in a batch": in_batch,
    "checkpoint": lambda f: recorded(
        lambda w: torch.utils.checkpoint.checkpoint(f, w, use_reentrant=False)
    ),
}
NEVER = {  # unsupported: forward mode, and second derivatives
    "jvp": lambda f: torch.func.jvp(f, (WEIGHT,), (TANGENT,))[1],
    "jacfwd": lambda f: torch.func.jacfwd(f)(WEIGHT),
    "linearize": lambda f: torch.func.linearize(f, WEIGHT)[1](TANGENT),
    "jvp of vmap": lambda f: torch.func.jvp(torch.func.vmap(f), (BATCH,), (BATCH,))[1],
    "vmap of jvp": lambda f: torch.func.vmap(lambda w: torch.func.jvp(f, (w,), (w,))[1])(BATCH),
    "jvp of grad": lambda f: torch.func.jvp(torch.func.grad(total(f)), (WEIGHT,), (TANGENT,))[1],
    "hessian": lambda f: torch.func.hessian(total(f))(WEIGHT),
    "grad of grad": lambda f: torch.func.grad(lambda w: torch.func.grad(total(f))(w).sum())(WEIGHT),
    "jacrev of jacrev": lambda f: torch.func.jacrev(torch.func.jacrev(total(f)))(WEIGHT),
    "jacobian in forward mode": lambda f: functional.jacobian(
        f, WEIGHT, vectorize=True, strategy="forward-mode"
    ),
    "functional.jvp": lambda f: functional.jvp(f, WEIGHT, TANGENT)[1],
    "functional.hvp": lambda f: functional.hvp(total(f), WEIGHT, TANGENT)[1],
    "dual tensors": along_dual,
    "dual tensors without grad": lambda f: torch.no_grad()(along_dual)(f),
    "dual tensors of a subclass": lambda f: along_dual(lambda w: f(w.as_subclass(Subclass))),
    "jvp, compiled": lambda f: compiled(lambda w: torch.func.jvp(f, (w,), (TANGENT,))[1])(WEIGHT),
    "jacfwd, compiled": lambda f: compiled(lambda w: torch.func.jacfwd(f)(w))(WEIGHT),
    "jvp of a compiled function": lambda f: torch.func.jvp(compiled(f), (WEIGHT,), (TANGENT,))[1],
    "dual tensors, compiled": lambda f: along_dual(compiled(f)),
    "dual tensors, compiled before": lambda f: (
        compiled_f := compiled(f),
        compiled_f(WEIGHT),
        along_dual(compiled_f),
    )[-1],
    "jvp in make_fx": lambda f: make_fx(lambda w: torch.func.jvp(f, (w,), (TANGENT,))[1])(WEIGHT),
}
FULL = {"fullgraph": True}
TRACED = {
    "compiled": lambda f: compiled(f, **FULL)(WEIGHT),
    "compiled for any size": lambda f: compiled(f, dynamic=True, **FULL)(WEIGHT),
    "compiled, backward": lambda f: recorded(compiled(f, **FULL)),
    "compiled grad": lambda f: compiled(torch.func.grad(total(f)), **FULL)(WEIGHT),
    "compiled jacrev": lambda f: compiled(lambda w: torch.func.jacrev(f)(w), **FULL)(WEIGHT),
    "compiled vmap": lambda f: compiled(lambda w: torch.func.vmap(f)(w), **FULL)(BATCH),
    "compiled vmap of grad": lambda f: compiled(
        lambda w: torch.func.vmap(torch.func.grad(total(f)))(w), **FULL
    )(BATCH),
    "grad of a compiled function": lambda f: torch.func.grad(total(compiled(f)))(WEIGHT),
    "vmap of a compiled function": lambda f: torch.func.vmap(compiled(f))(BATCH),
    "make_fx": lambda f: make_fx(f)(WEIGHT)(TANGENT),
    "make_fx of grad": lambda f: make_fx(torch.func.grad(total(f)))(WEIGHT)(TANGENT),
    "make_fx of vmap": lambda f: make_fx(torch.func.vmap(f))(BATCH)(2 * BATCH),
    "make_fx of backward": lambda f: make_fx(lambda w: torch.autograd.grad(total(f)(w), w)[0])(
        WEIGHT.clone().requires_grad_()
    )(TANGENT),
    "torch.jit.trace": lambda f: torch.jit.trace(f, WEIGHT)(TANGENT),
    "torch.jit.trace, backward": lambda f: recorded(torch.jit.trace(f, WEIGHT)),
    "symbolic_trace": lambda f: torch.fx.symbolic_trace(f)(TANGENT),
    "symbolic_trace, backward": lambda f: recorded(torch.fx.symbolic_trace(f)),
}


def of_weight(function):
    return lambda w: function(SAMPLES, w, BIAS)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("transform", [*RIGHT, *TRACED])
def test_transforms_are_right(name, transform):
    ours, others = map(of_weight, FUNCTIONS[name])
    transform = (RIGHT | TRACED)[transform]
    torch.testing.assert_close(transform(ours), transform(others))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("transform", NEVER)
def test_forward_mode_and_second_derivatives_are_an_error(name, transform):
    ours, others = map(of_weight, FUNCTIONS[name])
    if transform == "functional.jvp" and "loss" in name:  # differentiates the backward pass,
        torch.testing.assert_close(NEVER[transform](ours), NEVER[transform](others))
        return  # which only multiplies a gradient by a cotangent
    with pytest.raises(NotImplementedError):
        NEVER[transform](ours)


def test_operands_without_tangents_work_in_forward_mode():
    def function(w):
        return (w * mst.affine(SAMPLES, WEIGHT).sum()).sum()

    got = torch.func.jvp(function, (WEIGHT,), (TANGENT,))[1]
    torch.testing.assert_close(got, TANGENT.sum() * mst.affine(SAMPLES, WEIGHT).sum())


# Any sequence of transforms, with respect to any operands.

STEPS = {
    "grad": lambda f, n: torch.func.grad(total(f), argnums=n),
    "vmap": lambda f, n: (
        lambda *x: torch.func.vmap(f, in_dims=tuple(0 if i in n else None for i in range(3)))(
            *(torch.stack([y, 2 * y]) if i in n else y for i, y in enumerate(x))
        )
    ),
    "jacrev": lambda f, n: torch.func.jacrev(f, argnums=n),
    "jvp": lambda f, n: (
        lambda *x: torch.func.jvp(
            lambda *some: f(*(dict(enumerate(x)) | dict(zip(n, some, strict=True))).values()),
            tuple(x[i] for i in n),
            tuple(x[i].cos() for i in n),
        )[1]
    ),
    "make_fx": lambda f, n: lambda *x: make_fx(f)(*x)(*x),
}


def flat(results):
    return torch.cat([x.ravel() for x in torch.utils._pytree.tree_leaves(results)])


@settings(deadline=None)
@given(
    name=st.sampled_from(["affine", "affine_select", "mean_loss"]),
    steps=st.lists(st.sampled_from(list(STEPS)), min_size=1, max_size=3),
    wrt=st.sets(st.sampled_from([0, 1, 2]), min_size=1).map(sorted).map(tuple),
)
def test_transforms_of_transforms(name, steps, wrt):
    if name == "mean_loss":
        wrt = tuple(i for i in wrt if i) or (1,)
    ours, others = FUNCTIONS[name]
    for step in steps:
        before_ours, before_others = ours, others
        if step == "grad":
            before_ours, before_others = (
                lambda *x, f=f: flat(f(*x)) for f in (before_ours, before_others)
            )
        ours, others = STEPS[step](before_ours, wrt), STEPS[step](before_others, wrt)
    operands = SAMPLES, WEIGHT, BIAS
    try:
        got = ours(*operands)
    except NotImplementedError:
        derivatives = [step for step in steps if step in ("grad", "jacrev", "jvp")]
        assert "jvp" in derivatives or len(derivatives) > 1
        return
    torch.testing.assert_close(flat(got), flat(others(*operands)))


# Compiled, traced and exported: public functions, the module, data-dependent sizes.

TOP = {
    "affine": lambda x, w, b: ms.affine(x, w, b, activation="tanh"),
    "affine_select": lambda x, w, b: ms.affine_select(x, w, b, INDEX),
    "affine_vjp": lambda x, w, b: ms.affine_vjp(x, w, b, torch.ones(4, 5, 3), wrt=["weight"])[1],
    "affine_stats": lambda x, w, b: ms.affine_stats(x, w, b)[1],
    "mean_loss": lambda x, w, b: ms.mean_loss(x, w, b, TARGETS, loss="huber"),
    "mean_loss_and_grad": lambda x, w, b: ms.mean_loss_and_grad(x, w, b, TARGETS)[1],
}


@pytest.mark.filterwarnings("error:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize("name", TOP)
def test_top_level_functions_are_compiled_in_one_graph(name):
    operands = SAMPLES, WEIGHT, BIAS
    expected = TOP[name](*operands)
    assert torch.equal(compiled(TOP[name], **FULL)(*operands), expected)
    exported = torch.export.export(Calling(TOP[name]), operands).module()
    assert torch.equal(exported(*operands), expected)


class Calling(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *operands):
        return self.function(*operands)


@pytest.mark.parametrize("name", TOP)
def test_all_functions_are_traced(name):
    operands = SAMPLES, WEIGHT, BIAS
    others = SAMPLES + 1, 2 * WEIGHT, BIAS - 1
    for trace in (
        lambda f: make_fx(f)(*operands),
        lambda f: make_fx(f, tracing_mode="symbolic")(*operands, *()),
        lambda f: torch.jit.trace(f, operands),
        torch.fx.symbolic_trace,
    ):
        if name in ("affine_select", "affine_vjp", "mean_loss", "mean_loss_and_grad"):
            if "symbolic" in trace.__code__.co_consts:
                continue  # PyTorch does not accept constant tensors there
        assert torch.equal(trace(TOP[name])(*others), TOP[name](*others))


@pytest.mark.parametrize("set_axis", [0, 1])
@pytest.mark.parametrize("samples", [SAMPLES, torch.stack([SAMPLES] * 4)])
def test_the_module_is_traced_symbolically(set_axis, samples):
    elu = ms.Activation("elu", alpha=0.5)
    module = mst.StackedAffine(4, 3, activation=elu, set_axis=set_axis, **DOUBLE)
    if set_axis and samples.ndim == 3:
        samples = samples.transpose(0, 1)
    traced = torch.fx.symbolic_trace(module)
    assert torch.equal(traced(samples), module(samples))
    sequence = torch.nn.Sequential(torch.nn.Linear(3, 3, **DOUBLE), module)
    assert torch.equal(torch.fx.symbolic_trace(sequence)(SAMPLES), sequence(SAMPLES))


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("name", ["affine", "mean_loss", "affine_stats"])
def test_numbers_of_sets_that_data_decide(name, has_bias, requires_grad):
    def chosen(x, w, b, keep):
        of_those = keep.nonzero()[:, 0]
        return TOP[name](x, w[of_those], b[of_those] if has_bias else None)

    w = WEIGHT.clone().requires_grad_(requires_grad and name != "affine_stats")
    keep = torch.tensor([1, 0, 1, 1])
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        got = compiled(chosen, **FULL)(SAMPLES, w, BIAS, keep)
    expected = chosen(SAMPLES, w, BIAS, keep)
    assert torch.equal(got, expected)
    if w.requires_grad:
        gradients = (torch.autograd.grad(total(lambda x=x: x)(), w)[0] for x in (got, expected))
        assert torch.equal(*gradients)


# Gradients in narrow dtypes are rounded once, after the multiplication by the cotangent.


@settings(deadline=None)
@given(
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    samples=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    size=st.sampled_from([1e-3, 1.0, 300.0]),
    scale=st.sampled_from([1e-3, 1.0, 65536.0]),
    shared=st.booleans(),
    both=st.booleans(),
)
def test_a_loss_can_be_scaled(dtype, samples, size, scale, shared, both):
    x = torch.full((4, 1), size).to(samples)
    w = torch.tensor([[1.0078125]] if shared else [[1.0078125], [0.5]], dtype=dtype)
    b = torch.zeros(2, 1, dtype=dtype)
    w.requires_grad_()

    losses = mst.mean_loss_and_grad(x, w, b, x)[0] if both else mst.mean_loss(x, w, b, x)
    (losses.sum() * scale).backward()
    exact = w.detach().double()
    expected = (2 * scale * x.double().square().mean() * (exact - 1)).expand(2, 1)
    expected = expected.sum(0, keepdim=True) if shared else expected
    torch.testing.assert_close(w.grad, expected.to(dtype), rtol=0.02, atol=0)


@pytest.mark.parametrize("name", ["affine", "mean_loss"])
def test_a_tensor_that_left_its_transform_has_a_gradient(name):
    found = []
    for function in map(of_weight, FUNCTIONS[name]):
        w, left = WEIGHT.clone().requires_grad_(), []
        torch.func.grad(lambda w, left=left: left.append(w * 2) or w.sum())(w)
        found += torch.autograd.grad(total(function)(left[0]), w)
    torch.testing.assert_close(*found)
