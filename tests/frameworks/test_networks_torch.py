"""Networks with hidden layers for tensors: bits of arrays, gradients, operators, a module."""

from __future__ import annotations

import pickle
import re
import types

import numpy as np
import pytest
from conftest import few
from hypothesis import given
from hypothesis import strategies as st
from test_mlp import INTEGERS, SMALL, Architecture, networks, sets_of
from test_mlp_losses import CATEGORICAL, flat, judged_networks

torch = pytest.importorskip("torch")

import itertools

import multisubnet as ms
from multisubnet import torch as mst
from multisubnet.testing import assert_same_bits
from multisubnet.torch import _network_loss_ops as loss_ops
from multisubnet.torch import _network_operands
from multisubnet.torch import _network_ops as ops
from multisubnet.torch._custom_op import CustomOp

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

CLASSES = Architecture((2, 4, 3), "tanh", None, (True, True))
PLAIN = types.SimpleNamespace(name="numpy")  # any options
CASES = [(SMALL, "huber", "float32"), (CLASSES, CATEGORICAL, "float32")]


def tensor(array):
    return torch.from_numpy(np.array(array.astype(array.dtype.newbyteorder("=")), order="C"))


def tensors(layers):
    return [tuple(map(tensor, x)) if isinstance(x, tuple) else tensor(x) for x in layers]


def with_tensors(options):
    names = {"intercept", "sample_weight"} & options.keys()
    return options | {name: tensor(options[name]) for name in names if options[name] is not None}


def assert_same(found, desired):
    found, desired = flat(found), flat(desired)
    assert len(found) == len(desired)
    for one, other in zip(found, desired, strict=True):
        assert isinstance(one, torch.Tensor)
        assert_same_bits(one.detach().numpy(), other)


def draw(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator, dtype=dtype)


def some_layers(n_sets=3, n_subnets=2, sizes=(1, 4, 2), dtype=torch.float32):
    """Return layers that require gradients, and all their tensors."""
    layers = [
        (draw(n_sets, n_subnets, a, b, dtype=dtype), draw(n_sets, n_subnets, b, dtype=dtype))
        for a, b in itertools.pairwise(sizes)
    ]
    layers[-1] = layers[-1][0], layers[-1][1][:1].clone()  # shared by all sets
    flat_ = [x.requires_grad_() for layer in layers for x in layer]
    return layers, flat_


@given(
    problem=networks(["float32", "float16"], [SMALL, INTEGERS]), set_axis=st.sampled_from([0, 1])
)
def test_bits(problem, set_axis):
    samples, layers, options = problem
    desired = ms.mlp(samples, layers, **options, set_axis=set_axis)
    arguments = tensor(samples), tensors(layers)
    options = with_tensors(options)
    assert_same(ms.mlp(*arguments, **options, set_axis=set_axis), desired)
    out = torch.empty(desired.shape, dtype=torch.from_numpy(desired).dtype)
    assert ms.mlp(*arguments, **options, set_axis=set_axis, out=out) is out
    assert_same(out, desired)


@given(problem=networks(["float32"], [SMALL], samples_ndim=2), data=st.data())
def test_bits_of_select_and_stats(problem, data):
    samples, layers, options = problem
    n_sets = sets_of(problem)
    index = data.draw(st.lists(st.integers(0, max(n_sets - 1, 0)), min_size=len(samples)))
    index = np.array(index[: len(samples)], np.int64)
    arguments = tensor(samples), tensors(layers)
    of_tensors = with_tensors(options)
    if n_sets:
        desired = ms.mlp_select(samples, layers, index, **options)
        assert_same(ms.mlp_select(*arguments, torch.from_numpy(index), **of_tensors), desired)
    statistics = "std", "mean"
    desired = ms.mlp_stats(samples, layers, **options, statistics=statistics)
    assert_same(ms.mlp_stats(*arguments, **of_tensors, statistics=statistics), desired)


@pytest.mark.parametrize("case", CASES, ids=["huber", "categorical"])
@given(data=st.data())
def test_bits_of_losses(case, data):
    (samples, layers, targets), options = data.draw(judged_networks(case, PLAIN))
    desired = ms.mlp_mean_loss_and_grad(samples, layers, targets, **options)
    arguments = tensor(samples), tensors(layers), tensor(targets)
    options = with_tensors(options)
    assert_same(ms.mlp_mean_loss_and_grad(*arguments, **options), desired)
    assert_same(ms.mlp_mean_loss(*arguments, **options), desired.loss)


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("set_axis", [0, 1])
def test_gradients_are_those_of_mlp_vjp(additive, set_axis):
    layers, parameters = some_layers()
    samples = draw(20, 2).requires_grad_()
    options = {"activation": "tanh", "additive": additive}
    operands = [samples, *parameters]
    if additive:
        options["intercept"] = draw(1, 2).requires_grad_()
        operands.append(options["intercept"])
    values = ms.mlp(samples, layers, **options, set_axis=set_axis)
    cotangent = draw(*values.shape, seed=1)
    found = torch.autograd.grad(values, operands, cotangent)
    cotangent = cotangent.transpose(0, 1) if set_axis else cotangent
    with torch.no_grad():
        desired = ms.mlp_vjp(samples, layers, cotangent, **options)
    of_numpy = ms.mlp_vjp(
        samples.detach().numpy(),
        [tuple(x.detach().numpy() for x in layer) for layer in layers],
        cotangent.numpy(),
        **options | ({"intercept": options["intercept"].detach().numpy()} if additive else {}),
    )
    assert_same(tuple(found), tuple(flat(of_numpy)))
    assert_same(desired, of_numpy)


def test_only_needed_operands_have_gradients():
    layers, (weight, *others) = some_layers()
    for x in others:
        x.requires_grad_(False)
    ms.mlp(draw(5, 2), layers).sum().backward()
    assert weight.grad is not None
    assert all(x.grad is None for x in others)


LABELS = torch.tensor([0, 1, 1, 0])
DATA = draw(4, 2, seed=2, dtype=torch.float64)
DIFFERENTIABLE = {
    "mlp": lambda x, layers, c: ms.mlp(x, layers, activation="softplus", set_axis=1),
    "additive": lambda x, layers, c: ms.mlp(
        x, layers, activation="tanh", additive=True, intercept=c
    ),
    "mlp_select": lambda x, layers, c: ms.mlp_select(
        x, layers, LABELS, activation="silu", additive=True, intercept=c
    ),
    "mlp_mean_loss": lambda x, layers, c: ms.mlp_mean_loss(
        DATA, layers, LABELS, loss=CATEGORICAL, activation="tanh", sample_weight=LABELS + 1
    ),
    "mlp_mean_loss_and_grad": lambda x, layers, c: (
        ms.mlp_mean_loss_and_grad(
            DATA, layers, DATA + 1, activation="tanh", additive=True, intercept=c
        ).loss
    ),
}


@pytest.mark.parametrize("function", DIFFERENTIABLE.values(), ids=DIFFERENTIABLE)
def test_gradcheck(function):
    _layers, parameters = some_layers(2, 2, (1, 3, 2), torch.float64)
    double = {"dtype": torch.float64}
    x, c = draw(4, 2, **double), draw(1, 2, seed=1, **double)
    assert torch.autograd.gradcheck(
        lambda x, c, *flat_: function(x, [flat_[:2], flat_[2:]], c),
        (x.requires_grad_(), c.requires_grad_(), *parameters),
    )


def test_the_gradient_of_select_is_that_of_each_set():
    layers, parameters = some_layers()
    samples, index = draw(30, 2).requires_grad_(), torch.arange(30) % 3
    index[:7] = 1
    intercept = draw(1, 2).requires_grad_()
    operands = [samples, *parameters, intercept]
    options = {"activation": "tanh", "additive": True, "intercept": intercept}
    selected = ms.mlp_select(samples, layers, index, **options)
    every = ms.mlp(samples, layers, **options)
    cotangent = draw(30, 2, seed=3)
    found = torch.autograd.grad(selected, operands, cotangent)
    desired = torch.autograd.grad(every[index, torch.arange(30)], operands, cotangent)
    for one, other in zip(found, desired, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("per_subnetwork", [False, True])
def test_the_gradient_of_a_loss_is_that_of_its_function(per_subnetwork):
    layers, parameters = some_layers()
    samples, targets = draw(20, 2), draw(20)
    options = {"activation": "tanh", "per_subnetwork": per_subnetwork}
    losses = ms.mlp_mean_loss(samples, layers, targets, **options)
    (3.0 * losses).sum().backward()
    found = ms.mlp_mean_loss_and_grad(samples, layers, targets, **options)
    assert torch.equal(found.loss, losses)
    for x, gradient in zip(parameters, flat(found.grad_layers), strict=True):
        gradient = gradient if len(x) == 3 else gradient.sum(0, keepdim=True)
        torch.testing.assert_close(x.grad, 3.0 * gradient, rtol=1e-6, atol=1e-6)
    assert found.loss.requires_grad


@pytest.mark.parametrize("factors", [[1.0] * 3, [2.0] * 3, [1.0, 0.5, 3.0]])
def test_cotangents_of_losses(factors):
    layers, parameters = some_layers()
    losses = ms.mlp_mean_loss(draw(20, 2), layers, draw(20))
    desired = torch.autograd.grad(losses, parameters, torch.tensor(factors), retain_graph=True)
    for _ in range(2):
        if len(set(factors)) == 1:
            loss = losses.sum() * factors[0]
        else:
            loss = losses @ torch.tensor(factors, dtype=losses.dtype)
        found = torch.autograd.grad(loss, parameters, retain_graph=True)
        for one, other in zip(found, desired, strict=True):
            assert torch.equal(one, other)
            one.zero_()  # changes no other gradient
    assert all(map(torch.equal, torch.autograd.grad(loss, parameters), desired))
    with pytest.raises(RuntimeError, match="through the graph a second time"):
        torch.autograd.grad(losses.sum(), parameters)


def test_gradients_of_losses_have_the_bits_of_the_operator():
    _, parameters = some_layers(n_sets=100)
    samples, targets = draw(20, 2), draw(20)

    def loss(parameters):
        layers = list(zip(parameters[::2], parameters[1::2], strict=True))
        return ms.mlp_mean_loss(samples, layers, targets).sum()

    loss(parameters).backward()
    desired = torch.func.grad(loss)(parameters)  # the sum over sets has an order of its own
    assert all(torch.equal(x.grad, y) for x, y in zip(parameters, desired, strict=True))


@pytest.mark.skipif(
    not hasattr(torch._C._autograd, "_get_current_graph_task_keep_graph"),
    reason="this PyTorch does not tell whether a graph is kept",
)
def test_the_only_backward_pass_of_a_loss_copies_no_gradients(monkeypatch):
    layers, parameters = some_layers()
    found = []
    judge = loss_ops._judge
    monkeypatch.setattr(
        loss_ops, "_judge", lambda *a, **k: found.append(judge(*a, **k)) or found[0]
    )
    losses = ms.mlp_mean_loss(draw(20, 2), layers, draw(20))
    losses.sum().backward()
    ((_, *gradients, _),) = found  # the last one is a sum
    assert [x.grad.data_ptr() for x in parameters[:-1]] == [x.ctypes.data for x in gradients]


@pytest.mark.parametrize("function", ["affine", "mlp", "mlp_mean_loss"])
def test_a_traced_backward_pass_depends_on_the_cotangent(function):
    layers, parameters = some_layers()
    samples, weight = draw(20, 2), draw(3, 2).requires_grad_()
    if function == "affine":
        parameters = [weight]
        result = ms.affine(samples, weight, activation="tanh", set_axis=1)
    elif function == "mlp":
        result = ms.mlp(samples, layers, set_axis=1)
    else:
        result = ms.mlp_mean_loss(samples, layers, draw(20))

    from torch.fx.experimental.proxy_tensor import make_fx

    def pull_back(cotangent):
        return torch.autograd.grad(result, parameters, cotangent, retain_graph=True)

    one = torch.ones((), dtype=result.dtype).expand(result.shape)
    other = draw(*result.shape, seed=5).to(result.dtype)
    traced = make_fx(pull_back)(one)
    assert all(torch.equal(x, y) for x, y in zip(traced(other), pull_back(other), strict=True))


def test_gradients_of_losses_are_derivatives_of_cotangents_alone():
    layers, parameters = some_layers()
    losses = ms.mlp_mean_loss(draw(20, 2), layers, draw(20))
    cotangent = torch.ones(3, dtype=losses.dtype, requires_grad=True)
    gradients = torch.autograd.grad(losses, parameters, cotangent, create_graph=True)
    (by_cotangent,) = torch.autograd.grad(gradients[0].sum(), cotangent, retain_graph=True)
    expected = ms.mlp_mean_loss_and_grad(draw(20, 2), layers, draw(20)).grad_layers[0][0]
    torch.testing.assert_close(by_cotangent.float(), expected.detach().sum(dim=(1, 2, 3)))
    for gradient in gradients:
        with pytest.raises(NotImplementedError, match="no second derivatives"):
            torch.autograd.grad(gradient.sum(), parameters, retain_graph=True, allow_unused=True)


def test_losses_of_no_sets_have_gradients_of_shared_parameters():
    samples, targets, nothing = draw(20, 2), draw(20), torch.empty(0, 2, 1, 1)
    shared = torch.ones(1, 2, 1, requires_grad=True)
    ms.mlp_mean_loss(samples, [(nothing.requires_grad_(), shared)], targets).sum().backward()
    assert torch.equal(shared.grad, torch.zeros(1, 2, 1))


def test_options_that_change_later_do_not_change_gradients():
    layers, parameters = some_layers()
    inputs, activation = np.array([[1], [0]]), ["tanh"]
    values = ms.mlp(draw(20, 2), layers, inputs=inputs, activation=activation)
    desired = torch.autograd.grad(values.sum(), parameters, retain_graph=True)
    inputs[:], activation[0] = 0, "relu"
    found = torch.autograd.grad(values.sum(), parameters)
    assert all(map(torch.equal, found, desired))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_scaled_loss_of_narrow_weights_is_rounded_once(dtype):
    layers, _ = some_layers()
    samples, targets = draw(20, 2).half().to(dtype), draw(20) * 1e-4
    layers = [tuple(x.detach().half().requires_grad_() for x in layer) for layer in layers]
    (ms.mlp_mean_loss(samples, layers, targets) * 1e-4 * 2.0**20).sum().backward()
    wide = [tuple(x.detach().float().requires_grad_() for x in layer) for layer in layers]
    (ms.mlp_mean_loss(samples.float(), wide, targets) * 1e-4 * 2.0**20).sum().backward()
    for one, other in zip(flat(tuple(layers)), flat(tuple(wide)), strict=True):
        assert torch.equal(one.grad, other.grad.half())


def networks_of(additive=False):
    names = tuple(f"layers[{layer}][{i}]" for layer in range(2) for i in range(2))
    options = _network_operands.Options("tanh", None, None, additive)
    return _network_operands.describe(names, options).text()


INDEX = torch.tensor([0, 2, 1, 1, 0])
LOSS = networks_of(), "huber", False, None
# Arguments of each operator, of samples and parameters that require gradients and others that do
# not; `pick` detaches.
OPERATORS = {
    "mlp": lambda x, layers, pick: (x, layers, None, networks_of(), 1),
    "mlp_out": lambda x, layers, pick: (
        *pick(x, layers), None, torch.empty(3, 5, 2, 2), networks_of(), 0,
    ),
    "mlp_vjp": lambda x, layers, pick: (
        *pick(x, layers), draw(1, 2), draw(3, 5, 2), networks_of(True), "samples,layers,intercept",
    ),
    "mlp_select": lambda x, layers, pick: (x, layers, None, INDEX, networks_of(), None),
    "mlp_select_out": lambda x, layers, pick: (
        *pick(x, layers), None, INDEX, torch.empty(5, 2, 2), networks_of(), None,
    ),
    "mlp_select_vjp": lambda x, layers, pick: (
        *pick(x, layers), draw(1, 2), INDEX, draw(5, 2), networks_of(True), "layers,intercept",
    ),
    "mlp_mean_loss": lambda x, layers, pick: (
        pick(x)[0], layers, None, draw(5), None, *LOSS,
    ),
    "mlp_mean_loss_and_grad": lambda x, layers, pick: (
        *pick(x, layers), None, draw(5), torch.ones(5), networks_of(), "log_cosh", True,
        torch.float32,
    ),
    "mlp_stats": lambda x, layers, pick: (
        *pick(x, layers), None, torch.ones(3), networks_of(), "std,mean",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_opcheck(name):
    _, parameters = some_layers()
    arguments = OPERATORS[name](draw(5, 2).requires_grad_(), parameters, detached)
    torch.library.opcheck(getattr(torch.ops.multisubnet, name).default, arguments)


def detached(*operands):
    return [[y.detach() for y in x] if isinstance(x, list) else x.detach() for x in operands]


def test_all_operators_are_checked():
    there = (vars(ops) | vars(loss_ops)).items()
    there = {name for name, x in there if isinstance(x, CustomOp)}
    assert there == OPERATORS.keys()


CALLS = {
    "mlp": lambda x, layers: ms.mlp(x, layers, activation=["tanh"], inputs=[[1], [0]]),
    "mlp_select": lambda x, layers: ms.mlp_select(x, layers, INDEX),
    "mlp_mean_loss": lambda x, layers: ms.mlp_mean_loss(x, layers, x[:, 0], loss="huber"),
    "mlp_mean_loss_and_grad": lambda x, layers: ms.mlp_mean_loss_and_grad(x, layers, x[:, 0])[0],
    "mlp_stats": lambda x, layers: torch.stack(ms.mlp_stats(x, layers)),
    "mlp_vjp": lambda x, layers: ms.mlp_vjp(x, layers, torch.ones(3, 5, 2, 2)).grad_layers[0][0],
    "out": lambda x, layers: ms.mlp(x, layers, out=torch.empty(3, 5, 2, 2)),
}


@pytest.mark.parametrize("name", CALLS)
def test_compiled_with_fullgraph(name):
    layers, parameters = some_layers()
    samples, function = draw(5, 2), CALLS[name]
    has_gradient = name not in ("mlp_stats", "mlp_vjp", "out")
    if not has_gradient:
        layers = [tuple(detached(*layer)) for layer in layers]
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    found, desired = compiled(samples, layers), function(samples, layers)
    assert torch.equal(found, desired)
    if has_gradient:
        found = torch.autograd.grad(found.sum(), parameters)
        desired = torch.autograd.grad(desired.sum(), parameters)
        for one, other in zip(found, desired, strict=True):
            assert torch.equal(one, other)


def test_transforms():
    from torch.func import functional_call, grad, vmap

    layers, _ = some_layers()
    layers = [(w.detach(), b.detach().expand(3, -1, -1)) for w, b in layers]
    samples = draw(20, 2)

    def total(layers, samples):
        return ms.mlp(samples, layers, activation="tanh").sum()

    gradients = grad(total)(layers, samples)
    desired = ms.mlp_vjp(samples, layers, torch.ones(3, 20, 2, 2), activation="tanh")
    for one, other in zip(flat(tuple(gradients)), flat(desired.grad_layers), strict=True):
        assert torch.equal(one, other)
    batch = torch.stack([samples, samples + 1])
    assert torch.equal(vmap(lambda x: ms.mlp(x, layers))(batch)[1], ms.mlp(samples + 1, layers))
    of_each = vmap(lambda one: ms.mlp(samples, [(w[None], b[None]) for w, b in one])[0])(layers)
    assert torch.equal(of_each, ms.mlp(samples, layers))
    model = mst.StackedMLP(3, (1, 4, 2), n_subnetworks=2)
    parameters = dict(model.named_parameters())
    assert torch.equal(functional_call(model, parameters, (samples,)), model(samples))


@pytest.mark.parametrize("operand", ["samples", "layers"])
@pytest.mark.parametrize("name", few([name for name in CALLS if name != "out"]))
def test_no_forward_mode(name, operand):
    layers, _ = some_layers()
    layers = [tuple(detached(*layer)) for layer in layers]
    samples = draw(5, 2)

    def values(x):
        if operand == "samples":
            return CALLS[name](x, layers)
        return CALLS[name](samples, [(x, layers[0][1]), layers[1]])

    x = samples if operand == "samples" else layers[0][0]
    with pytest.raises(NotImplementedError, match="forward-mode"):
        torch.func.jvp(values, (x,), (torch.ones_like(x),))


def test_no_gradient_of_targets_or_statistics():
    layers, _ = some_layers()
    losses = ms.mlp_mean_loss(draw(5, 2), layers, draw(5).requires_grad_())
    with pytest.raises(NotImplementedError, match="targets requires one"):
        losses.sum().backward()
    mean, _ = ms.mlp_stats(draw(5, 2), layers)
    with pytest.raises(NotImplementedError, match="mlp_stats has no gradients"):
        mean.sum().backward()


# The module.


def test_the_module():
    torch.manual_seed(0)
    model = mst.StackedMLP(3, (2, 4, 1), n_subnetworks=2, inputs=[[0, 1], [2, 2]], additive=True)
    assert [name for name, _ in model.named_parameters()] == [
        "intercept",
        *(f"layers.{layer}.{name}" for layer in range(2) for name in ("weight", "bias")),
    ]
    for layer in model.layers:
        bound = layer.weight.shape[2] ** -0.5
        for x in (layer.weight, layer.bias):
            assert 0.5 * bound < x.abs().max() <= bound
    assert not model.intercept.any()
    samples = draw(5, 3)
    assert model(samples).shape == (5, 3, 1)
    of_each = draw(5, 3, 3)
    values = model(of_each)
    for n in range(3):
        assert torch.equal(values[:, n], model(of_each[:, n])[:, n])
    sets = model.to_weight_sets()
    assert_same(model(samples), sets.predict(samples.numpy(), set_axis=1))
    again = mst.StackedMLP.from_weight_sets(sets)
    assert torch.equal(again(samples), model(samples))
    again.load_state_dict(model.state_dict())
    assert torch.equal(pickle.loads(pickle.dumps(model))(samples), model(samples))
    assert sets == again.to_weight_sets()


def test_the_module_learns():
    torch.manual_seed(0)
    model = mst.StackedMLP(5, (1, 8, 1), n_subnetworks=2, additive=True)
    samples = draw(100, 2)
    targets = torch.sin(2 * samples).sum(1)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)

    def losses():
        return mst.mlp_mean_loss(samples, targets=targets, **model.networks())

    before = losses().detach()
    for _ in range(50):
        optimizer.zero_grad()
        losses().sum().backward()
        optimizer.step()
    assert (losses() < 0.5 * before).all()


def test_stacked_modules():
    def net():
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))

    modules, samples = [net() for _ in range(4)], draw(6, 3)
    model = mst.StackedMLP.from_modules(modules)
    assert model.layer_sizes == (3, 4, 2)
    with torch.no_grad():
        desired = torch.stack([module(samples) for module in modules], 1)[:, :, None]
    torch.testing.assert_close(model(samples), desired)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((3, (1,)), {}, "layer_sizes is"),
        ((3, (1, 0, 1)), {}, "layer_sizes is"),
        ((-1, (1, 2)), {}, "must not be negative"),
        ((3, (1, 2)), {"intercept": True}, "intercept requires additive"),
        ((3, (1, 2, 1)), {"activation": ["tanh", "tanh"]}, "activation has 2 values"),
        ((3, (1, 2, 1)), {"activation": "tahn"}, "did you mean 'tanh'"),
    ],
)
def test_wrong_modules(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        mst.StackedMLP(*arguments, **options)


def _operands(requires_grad):
    """Return operands of all functions, by name."""

    def ones(*shape):
        return torch.ones(*shape, requires_grad=requires_grad)

    x, (w, b), index = ones(4, 2), (ones(3, 2), ones(3, 2)), torch.tensor([0, 1, 2, 0])
    row = {"samples": x, "weight": w, "bias": b}
    network = {
        "samples": x,
        "layers": [(ones(3, 2, 1, 3), None), (ones(3, 2, 3, 1), ones(3, 2, 1))],
    }
    return {
        "affine": row,
        "affine_select": row | {"set_index": index},
        "affine_vjp": row | {"cotangent": torch.ones(3, 4, 2)},
        "affine_stats": row,
        "mean_loss": row | {"targets": torch.ones(4, 2)},
        "mean_loss_and_grad": row | {"targets": torch.ones(4, 2)},
        "mlp": network,
        "mlp_select": network | {"set_index": index},
        "mlp_stats": network,
        "mlp_vjp": network | {"cotangent": torch.ones(3, 4, 2, 1)},
        "mlp_mean_loss": network | {"targets": torch.ones(4, 1)},
        "mlp_mean_loss_and_grad": network | {"targets": torch.ones(4, 1)},
    }


def _with_none(operands):
    """Yield the name of each required operand, and the operands with None in its place."""
    for name in operands:
        if name == "layers":
            first, (weight, bias) = operands["layers"]
            yield "layers[0][0]", operands | {"layers": [(None, None), (weight, bias)]}
            yield "layers[1][0]", operands | {"layers": [first, (None, bias)]}
        elif name != "bias":
            yield name, operands | {name: None}


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("function", _operands(False))
def test_a_required_operand_that_is_none_is_named(function, requires_grad):
    for name, operands in _with_none(_operands(requires_grad)[function]):
        expected = re.escape(f"{name} is None; expected an array_like of numbers")
        plain = {key: _plain(operand) for key, operand in operands.items()}
        for module, given_ in ((ms, plain), (mst, operands), (ms, operands)):
            with pytest.raises(TypeError, match=f"^{expected}$"):
                getattr(module, function)(**given_)


def _plain(operand):
    """Return an operand, perhaps of nested sequences, with arrays in place of tensors."""
    if isinstance(operand, list | tuple):
        return type(operand)(map(_plain, operand))
    return None if operand is None else operand.detach().numpy()
