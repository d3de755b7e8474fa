"""Mistakes that type checkers must report: on each line marked wrong, and on no other."""

import numpy as np

import multisubnet as ms

samples = np.ones((5, 3))
weight = np.ones((2, 3))
sets = ms.WeightSets(weight)

ms.affine(samples, weight, activation="tahn")  # wrong
ms.affine(samples, weight, set_axis=7)  # wrong
ms.affine(samples, weight, weight, "tanh")  # wrong
ms.affine(samples)  # wrong
ms.affine(samples, weight).shpae  # wrong
ms.affine("samples", weight)  # wrong, though mypy takes strings for nested sequences
ms.affine({"samples": 1}, weight)  # wrong
ms.affine([["1", "2"]], weight)  # wrong, though mypy takes strings for nested sequences
ms.mean_loss(samples, weight, None, samples, loss="msee")  # wrong
ms.mean_loss(samples, weight, None)  # wrong
ms.affine_stats(samples, weight, statistics=["median"])  # wrong
ms.affine_vjp(samples, weight, None, samples, wrt=["input"])  # wrong
ms.mlp(samples, [(weight, None)], activation=["tahn"])  # wrong
ms.mlp(samples, [(weight, None)], output_activation="softmx")  # wrong
ms.mlp_mean_loss(samples, [(weight, None)], samples, loss="categorical_crossentropy")  # wrong
ms.mlp_vjp(samples, [(weight, None)], samples, wrt=["weight"])  # wrong
sets.predict(samples, set_axis=2)  # wrong
sets.predict(samples).shpae  # wrong
sets.mean_loss(samples, samples, loss="msee")  # wrong
sets.weights  # wrong
ms.WeightSets(weight, activation="tahn")  # wrong
ms.from_theta(weight, "3")  # wrong
ms.plotting  # wrong
