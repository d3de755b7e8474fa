"""WeightSets from PyTorch modules: those that are per-feature, and those that only look so."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import multisubnet as ms
from multisubnet.testing import assert_same_bits

torch = pytest.importorskip("torch")
nn = torch.nn


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class Affine(nn.Module):
    """One weight and one bias per feature, with an arbitrary function."""

    def __init__(self, n_features=3, use_bias=True, function=None, dtype=None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_features, dtype=dtype))
        self.bias = nn.Parameter(torch.randn(n_features, dtype=dtype)) if use_bias else None
        self.dropout = nn.Dropout(0.5)
        self.function = function

    def forward(self, x):
        z = x * self.weight
        if self.bias is not None:
            z = z + self.bias
        return self.dropout(z if self.function is None else self.function(z))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("use_bias", [True, False])
def test_modules_and_their_state(dtype, use_bias):
    modules = [Affine(use_bias=use_bias, dtype=dtype) for _ in range(3)]
    sets = ms.WeightSets.from_models([*modules, modules[0].state_dict()])
    weight = [module.weight.detach().numpy() for module in (*modules, modules[0])]
    assert_same_bits(sets.weight, np.array(weight))
    if not use_bias:
        assert sets.bias is None
        return
    assert_same_bits(sets.bias[1], modules[1].bias.detach().numpy())
    as_tuple = modules[2].weight, modules[2].bias  # these require a gradient
    assert ms.WeightSets.from_models([as_tuple]) == sets[2]


def test_bfloat16_becomes_float32():
    module = Affine(dtype=torch.bfloat16)
    sets = ms.WeightSets.from_models([module, (module.weight, module.bias)])
    assert_same_bits(sets.weight[1], module.weight.detach().float().numpy())
    assert sets[0] == sets[1]
    assert sets.dtype == np.float32


def test_a_linear_module_of_one_feature():
    module = nn.Linear(1, 1)
    pair = [module.weight.item(), module.bias.item()]
    assert (
        ms.WeightSets.from_models([module, module.state_dict()]).to_pairs().tolist() == [[pair]] * 2
    )
    without = ms.WeightSets.from_models([nn.Linear(1, 1, bias=False)])
    assert without.bias is None


def with_random_weights(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (nn.LayerNorm(3), "whose outputs are not those of"),
        (nn.RMSNorm(3), "whose outputs are not those of"),
        (nn.GroupNorm(3, 3), "whose outputs are not those of"),
        (nn.BatchNorm1d(3), r"with weight of shape \(3,\), bias of shape \(3,\), running_mean of"),
        (nn.BatchNorm1d(3, track_running_stats=False), "whose outputs are not those of"),
        (nn.PReLU(3), "whose outputs are not those of"),
        (nn.PReLU(1), "whose outputs are not those of"),
        (nn.Embedding(1, 1), "that cannot be called on 10 samples of 1 feature "),
        (nn.Conv1d(1, 1, 1, padding=1), r"with conv1d of values of shape \(1, 1\), where"),
        (nn.Sequential(Affine(), Affine()), r"with 0.weight of shape \(3,\), 0.bias"),
        (nn.Sequential(nn.Tanh()), "with no weights;"),
        (Affine(function=torch.relu), "whose outputs are not those of"),
        (Affine(function=lambda z: z.cumsum(1)), "whose outputs are not those of"),
    ],
    ids=repr,
)
def test_modules_that_only_look_per_feature(module, found):
    module = with_random_weights(module)
    with pytest.raises(ValueError, match=rf"^models\[1\] is an? \w+ {found}"):
        ms.WeightSets.from_models([Affine(), module])


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "softplus", "gelu", "silu"])
def test_a_given_activation(name):
    function = getattr(torch, name, None) or getattr(nn.functional, name)
    modules = [Affine(function=function), Affine()]
    sets = ms.WeightSets.from_models(modules, activation=name)
    samples = torch.randn(5, 3)
    with torch.no_grad():
        first = modules[0].eval()(samples)
        second = function(modules[1].eval()(samples))
    expected = torch.stack([first, second]).numpy()
    np.testing.assert_allclose(sets.predict(samples.numpy()), expected, rtol=1e-5, atol=1e-6)


def test_modules_are_left_as_they_are():
    module = Affine()
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    before = copy.deepcopy(module.state_dict())
    sets = ms.WeightSets.from_models([module])
    assert module.training
    assert module.dropout.training
    assert module.weight.grad is None
    assert all(
        torch.equal(a, b)
        for a, b in zip(before.values(), module.state_dict().values(), strict=True)
    )
    kept = sets.weight.copy()
    with torch.no_grad():
        module.weight.zero_()
    assert_same_bits(sets.weight, kept)


def test_a_set_is_written_to_a_module():
    modules = [Affine(), Affine()]
    sets = ms.WeightSets.from_models(modules)
    target = Affine()
    sets.write_to(target, 1)
    assert torch.equal(target.weight, modules[1].weight)
    assert torch.equal(target.bias, modules[1].bias)
    state = target.state_dict()
    sets.write_to(state, 0)  # its tensors are the module's
    assert torch.equal(target.weight, modules[0].weight)
    linear = nn.Linear(1, 1)
    ms.WeightSets([[2.0]], [[3.0]]).write_to(linear)
    assert (linear.weight.item(), linear.bias.item()) == (2.0, 3.0)
    with pytest.raises(ValueError, match="model differs in structure from the sets: features"):
        sets.write_to(Affine(4), 0)
