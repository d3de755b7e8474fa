"""Uses that type checkers must accept, and the types that they must see."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import multisubnet as ms

HostArray = NDArray[Any]

samples = np.ones((5, 3), np.float32)
weight, bias = ms.from_pairs([[[2, 7], [9, 5], [1, 0]]])
assert_type(weight, HostArray)


class DeviceArray:
    """Represents arrays of CuPy and PyTorch, which need not be installed here."""

    shape: tuple[int, ...]
    dtype: str

    def __getitem__(self, key: object, /) -> DeviceArray:
        return self

    def get(self) -> HostArray:
        return np.ones(3)


# NumPy arrays and sequences give NumPy arrays; other arrays give their own type.
assert_type(ms.affine([[3, 7]], [[2, 9]], [[1.5, 2]], activation="relu"), HostArray)
assert_type(ms.affine(samples, np.ones((2, 3)), set_axis=1), HostArray)
ms.affine(samples, weight, bias).mean(axis=0)
device = DeviceArray()
assert_type(ms.affine(device, device, device), DeviceArray)
assert_type(ms.affine(device, [[1.0]]), DeviceArray)
assert_type(ms.affine_select(samples, weight, None, [0, 0, 0, 0, 0]), HostArray)

loss = ms.mean_loss(samples, weight, bias, samples, loss="huber")
assert_type(loss, HostArray)
ms.mean_loss(samples, weight, bias, samples, loss="SmoothL1Loss", activation="SiLU")
assert_type(ms.Activation("tanh")([[1.0, -2.0]]), HostArray)
assert_type(ms.Activation("tanh")(device), DeviceArray)
value, grad_weight, grad_bias = ms.mean_loss_and_grad(device, device, None, device, loss="mse")
assert_type(grad_weight, DeviceArray)
assert_type(grad_bias, DeviceArray | None)
mean, std = ms.affine_stats(samples, weight, statistics=["mean", "std"])
assert_type(mean, HostArray)

layers = [(np.ones((2, 3, 1, 4)), np.ones((2, 3, 4))), (np.ones((2, 3, 4, 1)), None)]
assert_type(ms.mlp(samples, layers, activation=["tanh"], output_activation="sigmoid"), HostArray)
assert_type(ms.mlp(device, [(device, device)], additive=True), DeviceArray)

assert_type(ms.mlp_mean_loss(samples, layers, [1.0], loss="mse", per_subnetwork=True), HostArray)
assert_type(ms.mlp_mean_loss(device, [(device, device)], device, sample_weight=device), DeviceArray)
ms.mlp_mean_loss_and_grad(samples, layers, [1.0], additive=True).grad_layers[0][1].sum()
ms.mlp_vjp(device, [device], device, wrt=["samples"]).grad_samples.sum()

sets = ms.WeightSets(weight, bias, activation=ms.Activation("leaky_relu", negative_slope=0.1))
assert_type(sets.predict(samples), HostArray)
assert_type(sets[0], ms.WeightSets[HostArray])
memory_map = np.memmap("file", np.float32, "r", shape=(1, 5, 3))
assert_type(sets.predict(samples, out=memory_map).flush(), None)
best, losses = sets.best(1, samples, samples, loss="absolute_error")
assert_type(best.weight, HostArray)
assert_type(sets.predict_stats(samples).quantiles, HostArray)
for of_sets, of_samples, block in sets.predict_chunks(samples, memory_limit="1 GiB"):
    assert_type((of_sets, of_samples), tuple[slice, slice])
    assert_type(block, HostArray)
on_device = ms.WeightSets(device, device)
assert_type(on_device.predict(samples).get(), HostArray)
assert_type(ms.WeightSets.concatenate([sets, sets]), ms.WeightSets[HostArray])

with ms.use_backend("numpy"):
    pass

# Modules that are imported on first use.
ms.plot.weights(ms.WeightSets(weight, bias), losses=[1.0])
