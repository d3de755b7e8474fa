"""What autograd does with the graph of tensors: what it saves, second passes, other threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from multisubnet import torch as mst
from multisubnet.torch import _affine_ops, _network_loss_ops, _network_ops, _select_ops

GENERATOR = torch.Generator().manual_seed(0)


def draw(*shape):
    return torch.randn(*shape, generator=GENERATOR)


SAMPLES, TARGETS, INDEX = draw(6, 2), draw(6), torch.tensor([0, 2, 1, 1, 0, 2])
WEIGHT, BIAS = draw(3, 2).requires_grad_(), draw(1, 2).requires_grad_()
LAYERS = [(draw(3, 2, 1, 4), draw(1, 2, 4)), (draw(3, 2, 4, 1), draw(3, 2, 1))]
PARAMETERS = [x.requires_grad_() for layer in LAYERS for x in layer]
# A function, its parameters, and what computes its gradients in the backward pass.
FUNCTIONS = {
    "affine": (
        lambda: mst.affine(SAMPLES, WEIGHT, BIAS, activation="tanh"),
        [WEIGHT, BIAS],
        (_affine_ops, "gradients"),
    ),
    "affine_select": (
        lambda: mst.affine_select(SAMPLES, WEIGHT, BIAS, INDEX),
        [WEIGHT, BIAS],
        (_select_ops, "sets_and_rows"),
    ),
    "mean_loss": (
        lambda: mst.mean_loss(SAMPLES, WEIGHT, BIAS, SAMPLES),
        [WEIGHT, BIAS],
        (_affine_ops, "sum_over_sets"),
    ),
    "mlp": (
        lambda: mst.mlp(SAMPLES, LAYERS, set_axis=1),
        PARAMETERS,
        (_network_ops, "Pullback"),
    ),
    "mlp_select": (
        lambda: mst.mlp_select(SAMPLES, LAYERS, INDEX),
        PARAMETERS,
        (_network_ops, "sets_and_rows"),
    ),
    "mlp_mean_loss": (
        lambda: mst.mlp_mean_loss(SAMPLES, LAYERS, TARGETS),
        PARAMETERS,
        (_network_loss_ops, "scale"),
    ),
}
each_function = pytest.mark.parametrize("name", FUNCTIONS)


def assert_equal(found, desired):
    assert len(found) == len(desired)
    assert all(map(torch.equal, found, desired))


def gradients_of(name):
    function, parameters, _ = FUNCTIONS[name]
    return torch.autograd.grad(function().sum(), parameters)


@each_function
def test_hooks_see_all_tensors_that_the_graph_keeps(name):
    function, parameters, _ = FUNCTIONS[name]
    desired, kept = gradients_of(name), []

    def pack(x):
        kept.append(x.clone())
        return len(kept) - 1

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda number: kept[number]):
        result = function()
    assert_equal(torch.autograd.grad(result.sum(), parameters, retain_graph=True), desired)
    kept = [torch.zeros_like(x) for x in kept]
    assert not any(x.any() for x in torch.autograd.grad(result.sum(), parameters)[:1])


def test_checkpoints_compute_a_loss_again(monkeypatch):
    function, parameters, _ = FUNCTIONS["mlp_mean_loss"]
    desired, calls, judge = gradients_of("mlp_mean_loss"), [], _network_loss_ops._judge
    monkeypatch.setattr(
        _network_loss_ops,
        "_judge",
        lambda *args, **named: calls.append(judge) or judge(*args, **named),
    )
    result = torch.utils.checkpoint.checkpoint(function, use_reentrant=False).sum()
    assert len(calls) == 1
    assert_equal(torch.autograd.grad(result, parameters), desired)
    assert len(calls) == 2


@each_function
def test_a_graph_that_is_kept_can_be_used_again(name):
    function, parameters, _ = FUNCTIONS[name]
    result, desired = function().sum(), gradients_of(name)
    for keeps in (True, True, False):
        found = torch.autograd.grad(result, parameters, retain_graph=keeps)
        assert_equal(found, desired)
        for x in found:
            x.zero_()  # changes no other gradient
    with pytest.raises(RuntimeError, match="through the graph a second time"):
        torch.autograd.grad(result, parameters)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@each_function
def test_a_backward_pass_that_failed_can_be_repeated(name, error, monkeypatch):
    function, parameters, computed_by = FUNCTIONS[name]
    result, desired = function().sum(), gradients_of(name)

    def fail(*args, **options):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(*computed_by, fail)
        with pytest.raises(error):
            torch.autograd.grad(result, parameters)
    assert_equal(torch.autograd.grad(result, parameters), desired)
    with pytest.raises(RuntimeError, match="through the graph a second time"):
        torch.autograd.grad(result, parameters)


@pytest.mark.filterwarnings("ignore:.*attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")
@each_function
def test_compiled_autograd(name):
    function, parameters, _ = FUNCTIONS[name]
    torch._dynamo.reset()
    result = function().sum()
    for x in parameters:
        x.grad = None
    with torch._dynamo.config.patch(compiled_autograd=True):
        torch.compile(lambda: result.backward(), backend="eager")()
    assert_equal([x.grad for x in parameters], gradients_of(name))


# While one thread compiles, torch.compiler.is_compiling() is true in all.


def written_to_a_saved_tensor():
    saved = torch.ones(3, 6, 2)
    product = saved * WEIGHT[:, None]
    mst.affine(SAMPLES, WEIGHT.detach(), out=saved)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()
    return ()


def in_narrow_dtypes():
    x, w = SAMPLES.half(), WEIGHT.detach().half()
    return (torch.func.grad(lambda w: mst.mean_loss_and_grad(x, w, None, x)[0].sum() * 9e4)(w),)


CALLS = {
    **{name: lambda name=name: (FUNCTIONS[name][0](), *gradients_of(name)) for name in FUNCTIONS},
    "reversed array": lambda: (mst.affine(SAMPLES, np.ones((3, 2), "f4")[::-1]),),
    "out": written_to_a_saved_tensor,
    "half": in_narrow_dtypes,
}


def test_eager_calls_while_another_thread_compiles():
    desired = {name: call() for name, call in CALLS.items()}
    compiles, is_called = threading.Event(), threading.Event()
    found = {}

    def call_eagerly():
        assert compiles.wait(60)
        try:
            for name, call in CALLS.items():
                found[name] = call()
        finally:
            is_called.set()

    def backend(graph, inputs):  # runs during compilation
        compiles.set()
        assert is_called.wait(60)
        return graph.forward

    torch._dynamo.reset()
    thread = threading.Thread(target=call_eagerly)
    thread.start()
    compiled = torch.compile(lambda x: mst.mlp(x, LAYERS), backend=backend, fullgraph=True)
    result = compiled(SAMPLES)
    thread.join()
    assert torch.equal(result, mst.mlp(SAMPLES, LAYERS))
    assert found.keys() == desired.keys()
    for name in desired:
        assert_equal(found[name], desired[name])
