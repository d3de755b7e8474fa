"""N sets of networks with hidden layers as a PyTorch module."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays import validation
from multisubnet._functions.mlp_operands import activation_per_layer
from multisubnet._sets.parameters import resolve
from multisubnet._sets.weight_sets import WeightSets
from multisubnet.torch._arrays import array_of, tensor_of
from multisubnet.torch._module import sets_first
from multisubnet.torch._network_functions import mlp

if TYPE_CHECKING:
    from multisubnet._arrays.types import SetAxis

_LINEAR = Activation("linear")


class StackedMLP(nn.Module):
    """N sets of S small networks with hidden layers as one module.

    Parameters
    ----------
    n_sets : int
        The number of sets, N.
    layer_sizes : sequence of int
        The number of inputs of a network, then the number of units of each layer: (1, 16, 16, 1)
        has two hidden layers.
    n_subnetworks : int, optional
        The number of networks per set, S. If each has one input, as in additive models, this is
        the number of features.
    activation : str, Activation, None, or a sequence of them, optional
        The activation of all hidden layers, or a sequence with one per hidden layer.
    output_activation : str, Activation or None, optional
        The activation of the last layer.
    bias : bool, optional
        Whether layers have biases.
    inputs : array_like of int, shape (S, layer_sizes[0]), optional
        The features that each network sees, as for `multisubnet.mlp`.
    additive : bool, optional
        Whether the outputs of a set's networks are added up.
    intercept : bool, optional
        Whether the sums have an intercept, initially 0; by default they do if ``additive=True``.
    set_axis : {0, 1}, optional
        The axis that runs over sets, in the result and in samples that are not shared.
    device, dtype : optional
        Device and dtype of the parameters.

    Attributes
    ----------
    layers : ModuleList
        One module per layer, with the parameters `weight`, of shape (N, S, inputs, outputs), and
        `bias`, of shape (N, S, outputs), or None.
    intercept : Parameter, shape (N, P), or None

    Raises
    ------
    ValueError
        A size is not positive, or there are fewer than two; an activation is unknown; the number of
        activations differs from the number of hidden layers; `intercept` is combined with
        ``additive=False``.

    See Also
    --------
    mlp : the function.
    StackedAffine : one weight and one bias per feature.

    Notes
    -----
    Parameters are drawn as in `torch.nn.Linear`: uniformly from -1/sqrt(inputs) to 1/sqrt(inputs).
    The sets are independent, so a single elementwise optimizer trains them all.

    Examples
    --------
    Ten neural additive models of three features:

    >>> import torch
    >>> from multisubnet.torch import StackedMLP
    >>> model = StackedMLP(10, (1, 16, 1), n_subnetworks=3, additive=True)
    >>> model
    StackedMLP(
      n_sets=10, layer_sizes=(1, 16, 1), n_subnetworks=3, additive=True
      (layers): ModuleList(
        (0): StackedLinear(10, 3, 1, 16)
        (1): StackedLinear(10, 3, 16, 1)
      )
    )
    >>> model(torch.ones(5, 3)).shape  # samples, sets, outputs
    torch.Size([5, 10, 1])
    """

    def __init__(
        self,
        n_sets: int,
        layer_sizes: Sequence[int],
        *,
        n_subnetworks: int = 1,
        activation: Any = "relu",
        output_activation: Any = None,
        bias: bool = True,
        inputs: Any = None,
        additive: bool = False,
        intercept: bool | None = None,
        set_axis: SetAxis = 1,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.layer_sizes: tuple[int, ...] = tuple(layer_sizes)
        if len(self.layer_sizes) < 2 or min(self.layer_sizes) < 1:
            raise ValueError(
                f"layer_sizes is {self.layer_sizes}; expected the inputs of a network and the "
                f"units of at least one layer, as in (1, 16, 1)"
            )
        if n_sets < 0 or n_subnetworks < 0:
            raise ValueError(
                f"n_sets and n_subnetworks must not be negative, as in {n_sets} and {n_subnetworks}"
            )
        self.additive: bool = validation.flag("additive", additive)
        has_intercept = self.additive
        if intercept is not None:
            has_intercept = validation.flag("intercept", intercept)
        if has_intercept and not self.additive:
            raise ValueError("intercept requires additive=True")
        self.n_sets: int = n_sets
        self.n_subnetworks: int = n_subnetworks
        self.set_axis: SetAxis = validation.axis("set_axis", set_axis)
        self.activation = _checked(activation, len(self.layer_sizes) - 1)
        self.output_activation = resolve(output_activation)
        self.inputs = None if inputs is None else np.asarray(inputs).tolist()
        kind: dict[str, Any] = {"device": device, "dtype": dtype}
        self.layers = nn.ModuleList(
            StackedLinear(n_sets, n_subnetworks, *sizes, bias, **kind)
            for sizes in itertools.pairwise(self.layer_sizes)
        )
        self.intercept: nn.Parameter | None = None
        if has_intercept:
            self.intercept = nn.Parameter(torch.zeros(n_sets, self.layer_sizes[-1], **kind))

    def reset_parameters(self) -> None:
        """Draw new parameters, as `torch.nn.Linear` does; the intercept becomes 0."""
        for layer in self.layers:
            layer.reset_parameters()
        if self.intercept is not None:
            nn.init.zeros_(self.intercept)

    def forward(self, samples: Tensor) -> Tensor:
        """Evaluate all sets.

        Parameters
        ----------
        samples : Tensor, shape (B, F) or (B, N, F)
            Samples shared by all sets, or samples per set; with ``set_axis=0`` the latter is
            (N, B, F).

        Returns
        -------
        Tensor, shape (B, N, S, P), or (B, N, P) if additive
            With ``set_axis=0``, N is the first axis.
        """
        if self.set_axis:
            samples = sets_first(samples)
        return mlp(samples, **self.networks(), set_axis=self.set_axis)

    def networks(self) -> dict[str, Any]:
        """Return the parameters and options as arguments of the network functions.

        Examples
        --------
        Losses of all sets in one pass, without their predictions:

        >>> import torch
        >>> from multisubnet import torch as mst
        >>> model = mst.StackedMLP(10, (4, 8, 2))
        >>> mst.mlp_mean_loss(torch.ones(5, 4), targets=torch.ones(5, 2), **model.networks()).shape
        torch.Size([10])
        """
        return {
            "layers": [(layer.weight, layer.bias) for layer in self.layers],
            "activation": self.activation,
            "output_activation": self.output_activation,
            "inputs": self.inputs,
            "additive": self.additive,
            "intercept": self.intercept,
        }

    def extra_repr(self) -> str:
        """Return the arguments shown in the repr."""
        parts = [
            f"n_sets={self.n_sets}",
            f"layer_sizes={self.layer_sizes}",
            f"n_subnetworks={self.n_subnetworks}",
        ]
        if self.activation != Activation("relu"):
            parts.append(f"activation={_shown(self.activation)}")
        if self.output_activation is not None:
            parts.append(f"output_activation={_shown(self.output_activation)}")
        parts += ["additive=True"] * self.additive
        parts += [f"set_axis={self.set_axis}"] * (self.set_axis != 1)
        return ", ".join(parts)

    # Conversions.

    @classmethod
    def from_weight_sets(cls, sets: WeightSets[Any], *, set_axis: SetAxis = 1) -> StackedMLP:
        """Create a module from `multisubnet.WeightSets`, on their device; weights are copied.

        Parameters
        ----------
        sets : WeightSets
            Sets of a floating dtype that PyTorch supports.
        set_axis : {0, 1}, optional
            As for the module.

        Returns
        -------
        StackedMLP
        """
        layers = [
            (tensor_of(weight.copy()), None if bias is None else tensor_of(bias.copy()))
            for weight, bias in sets.layers
        ]
        intercept = None if sets.intercept is None else tensor_of(sets.intercept.copy())
        has_bias = any(bias is not None for _, bias in layers)
        last = None if sets.output_activation == _LINEAR else sets.output_activation
        module = cls(
            sets.n_sets,
            sets.layer_sizes,
            n_subnetworks=sets.n_networks,
            activation=sets.activation if len(layers) > 1 else None,
            output_activation=last,
            bias=has_bias,
            inputs=sets.inputs,
            additive=sets.additive,
            intercept=intercept is not None,
            set_axis=set_axis,
            device="meta",
        )
        for layer, (weight, bias) in zip(module.layers, layers, strict=True):
            layer.weight = nn.Parameter(weight)
            layer.bias = None if bias is None else nn.Parameter(bias)
        module.intercept = None if intercept is None else nn.Parameter(intercept)
        return module

    def to_weight_sets(self) -> WeightSets[Any]:
        """Return a copy of the parameters, with the options, as `multisubnet.WeightSets`."""
        kind = self.networks()
        kind["layers"] = [
            (array_of("weight", weight), None if bias is None else array_of("bias", bias))
            for weight, bias in kind["layers"]
        ]
        if self.intercept is not None:
            kind["intercept"] = array_of("intercept", self.intercept)
        return WeightSets.from_layers(**kind)

    @classmethod
    def from_modules(cls, modules: Iterable[nn.Module], *, set_axis: SetAxis = 1) -> StackedMLP:
        """Stack modules of the same structure: `torch.nn.Sequential` of Linear and activations.

        Parameters
        ----------
        modules : iterable of Module
            Modules as for `multisubnet.WeightSets.from_models`. The parameters are copied.
        set_axis : {0, 1}, optional
            As for the module.

        Returns
        -------
        StackedMLP

        Raises
        ------
        ValueError, TypeError
            As for `multisubnet.WeightSets.from_models`.

        Examples
        --------
        >>> from torch import nn
        >>> from multisubnet.torch import StackedMLP
        >>> def net():
        ...     return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        >>> StackedMLP.from_modules([net() for _ in range(5)]).layer_sizes
        (8, 16, 4)
        """
        return cls.from_weight_sets(WeightSets.from_models(modules), set_axis=set_axis)


class StackedLinear(nn.Module):
    """The weights and biases of one layer, for all networks of all sets."""

    def __init__(
        self,
        n_sets: int,
        n_subnetworks: int,
        n_inputs: int,
        n_outputs: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        kind: dict[str, Any] = {"device": device, "dtype": dtype}
        shape = n_sets, n_subnetworks, n_inputs, n_outputs
        self.weight: nn.Parameter = nn.Parameter(torch.empty(shape, **kind))
        self.bias: nn.Parameter | None = None
        if validation.flag("bias", bias):
            self.bias = nn.Parameter(torch.empty((n_sets, n_subnetworks, n_outputs), **kind))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters."""
        bound = self.weight.shape[2] ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        """Return the sizes, and whether the layer has no bias."""
        sizes = ", ".join(map(str, self.weight.shape))
        return sizes if self.bias is not None else f"{sizes}, bias=False"


StackedMLP.__module__ = "multisubnet.torch"  # where pickles look for it


def _checked(activation: Any, n_layers: int) -> Any:
    """Return one activation for all hidden layers, or a tuple of them."""
    *hidden, _ = activation_per_layer(activation, None, n_layers)
    resolved = tuple(resolve(one) for one in hidden)
    return resolved if isinstance(activation, list | tuple) else resolve(activation)


def _shown(activation: Any) -> str:
    if isinstance(activation, tuple):
        return f"[{', '.join(map(_shown, activation))}]"
    if activation is None:
        return "None"
    is_plain = Activation(activation.name) == activation
    return repr(activation.name) if is_plain else repr(activation)
