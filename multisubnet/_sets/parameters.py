"""The parameters of N sets: arrays, and the activations between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.activation import Activation, resolve_activation
from multisubnet._arrays import dtypes
from multisubnet._arrays.explanations import count
from multisubnet._arrays.frames import is_frame, values_of
from multisubnet._arrays.types import SetAxis
from multisubnet._backends.affine_call import AffineCall
from multisubnet._backends.mlp_call import MlpCall
from multisubnet._functions import affine_operands, mlp_operands
from multisubnet._functions.affine import affine
from multisubnet._functions.mlp import mlp
from multisubnet._sets.names import Names

_LINEAR = Activation("linear")


class Parameters(NamedTuple):
    """The parameters of N sets. Each array has N as its first axis.

    Sets of affine functions have one layer, whose weight and bias have the shape (N, F). Networks
    have layers as in `mlp`.
    """

    layers: tuple[tuple[Any, Any], ...]
    """The weight, and the bias or None, of each layer."""
    activations: tuple[Activation | None, ...]
    """The activation of each layer; None is linear."""
    inputs: np.ndarray | None = None
    additive: bool = False
    intercept: Any = None
    names: Names = Names()

    @property
    def is_affine(self) -> bool:
        """Whether the sets are affine functions, not networks."""
        return self.layers[0][0].ndim == 2

    @property
    def arrays(self) -> dict[str, Any]:
        """The arrays of the sets, by their names in files."""
        named = {}
        for number, layer in enumerate(self.layers):
            prefix = "" if self.is_affine else f"layers.{number}."
            for name, array in zip(("weight", "bias"), layer, strict=True):
                named[prefix + name] = array
        named["intercept"] = self.intercept
        return {name: array for name, array in named.items() if array is not None}

    @classmethod
    def of_networks(
        cls,
        layers: Any,
        activation: Any,
        output_activation: Any,
        inputs: Any,
        additive: Any,
        intercept: Any,
    ) -> tuple[int, Parameters]:
        """Return N and the validated parameters of networks, given as for `mlp`, not copied."""
        call = mlp_operands.read_parameters(
            layers, activation, output_activation, inputs, additive, intercept
        )
        given = mlp_operands.activation_per_layer(activation, output_activation, len(call.layers))
        activations = tuple(map(resolve, given))
        return call.n_sets, cls(
            call.layers, activations, call.inputs, call.additive, call.intercept
        )

    @classmethod
    def of_arrays(
        cls,
        arrays: Mapping[str, Any],
        activations: tuple[Any, ...],
        inputs: Any = None,
        additive: bool = False,
    ) -> Parameters:
        """Return the parameters with these `arrays`."""
        if "weight" in arrays:
            return cls(((arrays["weight"], arrays.get("bias")),), activations)
        layers = tuple(
            (arrays[f"layers.{number}.weight"], arrays.get(f"layers.{number}.bias"))
            for number in range(len(activations))
        )
        return cls(layers, activations, inputs, additive, arrays.get("intercept"))

    def with_arrays(self, arrays: Mapping[str, Any]) -> Parameters:
        """Return parameters of the same structure with these `arrays`."""
        changed = self.of_arrays(arrays, self.activations, self.inputs, self.additive)
        return changed._replace(names=self.names)

    def named(
        self, features: Any, outputs: Any, sets: Any, n_sets: int | None = None
    ) -> Parameters:
        """Return the parameters with names given by a user; None keeps the existing ones."""
        n_sets = len(self.layers[0][0]) if n_sets is None else n_sets
        n_outputs = self.n_features if self.is_affine else self.sizes[-1]
        sizes = self.n_features, n_outputs, n_sets
        given = Names.read(features, outputs, sets, sizes, self.inputs is not None)
        pairs = zip(given, self.names, strict=True)
        return self._replace(names=Names(*(old if new is None else new for new, old in pairs)))

    def changed(self, change: Callable[[Any], Any]) -> Parameters:
        """Return the parameters with `change` applied to each array."""
        return self.with_arrays({name: change(array) for name, array in self.arrays.items()})

    def difference(self, other: Parameters) -> str | None:
        """Describe how the model of these sets differs from another, or return None."""
        if self.is_affine != other.is_affine:
            kinds = "one weight and one bias per feature", "networks with layers"
            return f"sets are {kinds[not self.is_affine]} and {kinds[not other.is_affine]}"
        for what, found in self.structure.items():
            wanted = other.structure[what]
            if found != wanted:
                return f"{what} are {found} and {wanted}"
        return None

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of inputs of a network, then the number of outputs of each layer."""
        if self.is_affine:
            return 1, 1
        weights = [weight for weight, _ in self.layers]
        return weights[0].shape[2], *(weight.shape[3] for weight in weights)

    @property
    def n_features(self) -> int:
        """F; for networks with `inputs`, the smallest number of features that samples may have."""
        if self.inputs is not None:
            return int(self.inputs.max(initial=-1)) + 1
        return self.layers[0][0].shape[1] * self.sizes[0]

    @property
    def columns(self) -> list[str]:
        """The columns of a table of predictions: features, or networks and their outputs."""
        features, n_networks = self.names.features, self.layers[0][0].shape[1]
        if self.is_affine:
            return list(features or (f"f{f}" for f in range(n_networks)))
        outputs = list(self.names.outputs or (f"p{p}" for p in range(self.sizes[-1])))
        if self.additive or n_networks == 1:
            return outputs
        if self.sizes[0] == 1 and self.inputs is None and features is not None:
            if self.sizes[-1] == 1 and self.names.outputs is None:
                return list(features)
            return [f"{name}_{p}" for name in features for p in outputs]
        return [f"s{s}{p}" for s in range(n_networks) for p in outputs]

    @property
    def known_columns(self) -> tuple[str, ...] | None:
        """The same, or None if the sets have names of neither features nor outputs."""
        has_names = self.names.features is not None or self.names.outputs is not None
        return tuple(self.columns) if has_names else None

    @property
    def known_activations(self) -> list[Activation]:
        """The activation of each layer; None is replaced by linear."""
        return [_LINEAR if a is None else a for a in self.activations]

    @property
    def hidden_activation(self) -> Activation | tuple[Activation, ...]:
        """The activation of all hidden layers, or a tuple if they differ."""
        *each, _ = self.known_activations
        return tuple(each) if len(set(each)) > 1 else (*each, _LINEAR)[0]

    @property
    def output_activation(self) -> Activation:
        """The activation of the last layer."""
        return self.known_activations[-1]

    @property
    def structure(self) -> dict[str, Any]:
        """The properties shared by all sets of a model, by their names in messages."""
        biased = tuple(bias is not None for _, bias in self.layers)
        own = {"features": self.n_features}
        if self.is_affine:
            return own | {"activation": self.output_activation, "biases": biased[0]}
        return own | {
            "networks": self.layers[0][0].shape[1],
            "layer sizes": self.sizes,
            "inputs": None if self.inputs is None else self.inputs.tolist(),
            "activation": self.hidden_activation,
            "output activation": self.output_activation,
            "biases": biased[0] if len(set(biased)) == 1 else biased,
            "additive": self.additive,
            "intercepts": self.intercept is not None,
        }

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of `mlp` and related functions, for networks."""
        return {
            "activation": self.activations[:-1],
            "output_activation": self.activations[-1],
            "inputs": self.inputs,
            "additive": self.additive,
            "intercept": self.intercept,
        }

    def values(self, samples: Any) -> Any:
        """Return the numbers of a frame, or other samples unchanged, with as many features."""
        n_sets = len(self.layers[0][0])
        if is_frame(type(samples)):  # type: ignore[arg-type]
            samples = values_of("samples", samples, self.names.features)
        shape: Any = getattr(samples, "shape", ())
        parts = samples if isinstance(samples, list | tuple) else ()
        of_parts = {getattr(part, "shape", ()) for part in parts}
        if len(parts) > 1 and len(of_parts) == 1:
            shape = len(parts), *of_parts.pop()
        if self.inputs is None and len(shape) in (2, 3):
            of_weight = self.layers[0][0].shape
            n_features = of_weight[1] * (of_weight[2] if len(of_weight) == 4 else 1)
            has_blocks = len(shape) == 3
            is_other = shape[-1] != n_features or (has_blocks and n_sets not in (1, shape[0]))
            if is_other and all(isinstance(n, int) for n in shape):
                join = "; to join features, pass numpy.column_stack(samples)"
                raise ValueError(
                    f"samples has shape {tuple(shape)}; expected (B, {n_features}) or "
                    f"(N, B, {n_features}), for {count(n_sets, 'set')} of "
                    f"{count(n_features, 'feature')}"
                    f"{join * (len(parts) * shape[-1] == n_features)}"
                )
        return samples

    def predict(self, samples: Any, set_axis: SetAxis, out: Any) -> Any:
        """Return the predictions, for arrays of any library."""
        if self.is_affine:
            (weight, bias), activation = self.layers[0], self.activations[0]
            return affine(samples, weight, bias, activation=activation, set_axis=set_axis, out=out)
        return mlp(samples, self.layers, set_axis=set_axis, out=out, **self.options)

    def function(
        self,
        of_affine: Callable[..., Any],
        of_networks: Callable[..., Any],
        per_feature: bool | None = None,
    ) -> Callable[..., Any]:
        """Return a function of samples and further operands: that for affine sets or networks.

        `per_feature` is an option of losses.
        """
        if not self.is_affine:
            if self.additive and per_feature:
                raise ValueError(
                    "per_feature=True cannot be combined with additive sets: a sum of networks has "
                    "one loss"
                )
            options = self.options
            if per_feature is not None:
                options["per_subnetwork"] = per_feature
            return lambda samples, *data, **given: of_networks(
                samples, self.layers, *data, **options, **given
            )
        (weight, bias), options = self.layers[0], {"activation": self.activations[0]}
        if per_feature is not None:
            options["per_feature"] = per_feature
        return lambda samples, *data, **given: of_affine(
            samples, weight, bias, *data, **options, **given
        )

    def call(self, samples: Any) -> tuple[ModuleType, AffineCall | MlpCall]:
        """Return the namespace and the validated call that predicts."""
        if not self.is_affine:
            named = mlp_operands.name_operands(samples, self.layers, self.intercept)
            *hidden, last = self.activations
            xp, call, _ = mlp_operands.read(named, hidden, last, self.inputs, self.additive, None)
            return xp, call
        ((weight, bias),) = self.layers
        return affine_operands.read_call(samples, weight, bias, self.activations[0])


def resolve(activation: Any) -> Activation | None:
    """Return an activation in the form stored in sets: None if it is linear."""
    if activation is None:
        return None
    return resolve_activation(activation, np.dtype(np.float64))[0]


def n_cut_axes(call: AffineCall | MlpCall) -> int:
    """Return how many leading axes of a result can be split; a sum needs all networks."""
    return 2 if isinstance(call, MlpCall) and call.additive else 3


def common_dtype(call: AffineCall | MlpCall) -> np.dtype:
    """Return the common dtype of all operands."""
    return dtypes.result_type(*(x.dtype for x in call.arrays))


def n_third(call: AffineCall | MlpCall) -> int:
    """Return the number of features, or networks, on the third axis of a call's `part`."""
    return call.n_subnets if isinstance(call, MlpCall) else call.shape[2]
