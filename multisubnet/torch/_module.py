"""N sets of weights as a PyTorch module."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays import validation
from multisubnet._sets import models
from multisubnet._sets.parameters import resolve
from multisubnet._sets.weight_sets import WeightSets
from multisubnet.torch._affine_ops import evaluate
from multisubnet.torch._arrays import apply, tensor_of


class StackedAffine(nn.Module):
    """N sets of weights as one module: one weight and one bias per feature in each set.

    Parameters
    ----------
    n_sets, n_features : int
        The numbers of sets and of features, N and F.
    bias : bool, optional
        Whether there are biases.
    activation : str or Activation, optional
        As for `multisubnet.affine`.
    set_axis : {0, 1}, optional
        The axis that runs over sets, in the result and in samples that are not shared. The default
        is 1, because PyTorch modules return samples along the first axis.
    device, dtype : optional
        Device and dtype of the parameters.

    Attributes
    ----------
    weight : Parameter, shape (N, F)
    bias : Parameter, shape (N, F), or None

    Raises
    ------
    ValueError
        `n_sets` or `n_features` is negative; the activation is unknown; `set_axis` is not 0 or 1.
    TypeError
        `activation` is neither a name nor an Activation.

    Notes
    -----
    The sets are independent. The gradient of the sum of their losses contains the gradient of each
    loss, so one elementwise optimizer (SGD, Adam) trains them all as if each had its own.

    Examples
    --------
    >>> import torch
    >>> from multisubnet.torch import StackedAffine
    >>> model = StackedAffine(3, 2, activation="tanh")
    >>> model
    StackedAffine(n_sets=3, n_features=2, activation='tanh')
    >>> model(torch.ones(5, 2)).shape
    torch.Size([5, 3, 2])
    """

    def __init__(
        self,
        n_sets: int,
        n_features: int,
        bias: bool = True,
        *,
        activation: str | Activation | None = None,
        set_axis: int = 1,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if n_sets < 0 or n_features < 0:
            raise ValueError(
                f"n_sets and n_features must not be negative, as in {n_sets} and {n_features}"
            )
        self.n_sets: int = n_sets
        self.n_features: int = n_features
        self.set_axis: int = validation.axis("set_axis", set_axis)
        self.activation = resolve(activation)
        shape = n_sets, n_features
        self.weight: nn.Parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        if validation.flag("bias", bias):
            self.bias: nn.Parameter | None = nn.Parameter(
                torch.empty(shape, device=device, dtype=dtype)
            )
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters from the uniform distribution between -1 and 1.

        `torch.nn.Linear` does the same for one input. Use `torch.manual_seed` to reproduce them.
        """
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1.0, 1.0)

    def forward(self, samples: Tensor) -> Tensor:
        """Evaluate all sets.

        Parameters
        ----------
        samples : Tensor, shape (B, F) or (B, N, F)
            Samples shared by all sets, or separate samples per set; with ``set_axis=0`` the latter
            is (N, B, F).

        Returns
        -------
        Tensor, shape (B, N, F), or (N, B, F) with ``set_axis=0``
        """
        if self.set_axis:
            samples = sets_first(samples)
        return evaluate(samples, self.weight, self.bias, self.activation, self.set_axis)

    def extra_repr(self) -> str:
        """Return the arguments shown in the repr."""
        parts = [f"n_sets={self.n_sets}", f"n_features={self.n_features}"]
        if self.bias is None:
            parts.append("bias=False")
        if self.activation is not None:
            is_plain = Activation(self.activation.name) == self.activation
            parts.append(f"activation={self.activation.name if is_plain else self.activation!r}")
        if self.set_axis != 1:
            parts.append(f"set_axis={self.set_axis}")
        return ", ".join(parts)

    # Conversions.

    @classmethod
    def from_weight_sets(cls, sets: WeightSets[Any], *, set_axis: int = 1) -> StackedAffine:
        """Create a module from `multisubnet.WeightSets`, on their device; weights are copied.

        Parameters
        ----------
        sets : WeightSets
            Sets of a floating or complex dtype that PyTorch supports.
        set_axis : {0, 1}, optional
            As for the module.

        Returns
        -------
        StackedAffine

        Examples
        --------
        >>> import multisubnet as ms
        >>> from multisubnet.torch import StackedAffine
        >>> StackedAffine.from_weight_sets(ms.WeightSets([[2.0, 3.0]], [[1.0, 0.0]])).bias.tolist()
        [[1.0, 0.0]]
        """
        weight, bias = (
            None if x is None else tensor_of(x.copy()) for x in (sets.weight, sets.bias)
        )
        activation = None if sets.activation == Activation("linear") else sets.activation
        return cls._of(weight, bias, activation, set_axis)

    def to_weight_sets(self) -> WeightSets[Any]:
        """Return a copy of the parameters, with the activation, as `multisubnet.WeightSets`.

        Examples
        --------
        >>> from multisubnet.torch import StackedAffine
        >>> StackedAffine(3, 2, bias=False).to_weight_sets()
        WeightSets(N=3, F=2, float32 on cpu, 24 bytes)
        """
        operands = {"weight": self.weight, "bias": self.bias}
        return apply(WeightSets, operands, activation=self.activation)

    @classmethod
    def from_modules(
        cls,
        modules: Iterable[nn.Module],
        *,
        activation: str | Activation | None = None,
        set_axis: int = 1,
    ) -> StackedAffine:
        """Stack modules with one weight and one bias per feature each.

        Parameters
        ----------
        modules : iterable of Module
            Modules that multiply by a parameter `weight` of shape (F,) and add a parameter `bias`
            of shape (F,), or None: modules of your own class, or `torch.nn.Linear(1, 1)`. The
            parameters are copied.
        activation : str or Activation, optional
            The activation that follows each module.
        set_axis : {0, 1}, optional
            As for the module.

        Returns
        -------
        StackedAffine

        Raises
        ------
        ValueError
            There are no modules; their shapes, dtypes or devices differ; only some have a bias; a
            module does something else (it is called on a few samples).
        TypeError
            An item is not a module, or is a `StackedAffine`.

        Examples
        --------
        >>> from torch import nn
        >>> from multisubnet.torch import StackedAffine
        >>> StackedAffine.from_modules([nn.Linear(1, 1) for _ in range(5)])
        StackedAffine(n_sets=5, n_features=1)
        """
        modules = list(modules)
        if not modules:
            raise ValueError("modules is empty; expected at least one module")
        for number, module in enumerate(modules):
            found = f"modules[{number}] is a {type(module).__name__}"
            if not isinstance(module, nn.Module):
                raise TypeError(f"{found}, not a torch.nn.Module")
            if isinstance(module, StackedAffine):
                raise TypeError(f"{found}, which has several sets: use WeightSets.concatenate")
            models.check(f"modules[{number}]", module, resolve(activation))
        pairs = [_parameters(module) for module in modules]
        kinds = [
            tuple((x.shape, x.dtype, x.device) for x in pair if x is not None) for pair in pairs
        ]
        for number, kind in enumerate(kinds):
            if kind != kinds[0]:
                raise ValueError(
                    f"modules[{number}] has parameters of another kind than modules[0]: "
                    f"{kind} and {kinds[0]}"
                )
        weights, biases = zip(*pairs, strict=True)
        bias = None if biases[0] is None else torch.stack(biases)
        return cls._of(torch.stack(weights), bias, activation, set_axis)

    @classmethod
    def _of(
        cls, weight: Tensor, bias: Tensor | None, activation: Any, set_axis: int
    ) -> StackedAffine:
        """Return a module with these parameters."""
        n_sets, n_features = weight.shape
        options: dict[str, Any] = {"activation": activation, "set_axis": set_axis}
        module = cls(n_sets, n_features, bias is not None, **options, device="meta")
        module.weight = nn.Parameter(weight)
        if bias is not None:
            module.bias = nn.Parameter(bias)
        return module


@torch.fx.wrap  # symbolic_trace does not know ndim: it records a call of this function
def sets_first(samples: Tensor) -> Tensor:
    """Return samples (B, N, F) as (N, B, F); shared samples are unchanged."""
    return samples.transpose(0, 1) if samples.ndim == 3 else samples


StackedAffine.__module__ = "multisubnet.torch"  # where pickles look for it


def _parameters(module: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias, of shape (F,), of a validated module."""
    arrays = dict(module.named_parameters()) | dict(module.named_buffers())
    bias = arrays.pop("bias", None)
    (weight,) = arrays.values()
    return weight.detach().reshape(-1), None if bias is None else bias.detach()
