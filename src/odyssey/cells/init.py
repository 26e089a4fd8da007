"""Initial distributions of a cell's weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from odyssey.errors import UserError
from odyssey.registry import load_class

KINDS = {
    "input": ("uniform", "normal", "orthogonal", "identity", "zeros"),
    "recurrent": ("uniform", "normal", "orthogonal", "identity", "zeros"),
    "bias": ("zeros", "uniform", "normal"),
    "vector": ("zeros", "uniform", "normal"),
}


@dataclass(frozen=True)
class Init:
    """Initial distributions: of input and recurrent weights, biases and vectors.

    Kinds: `uniform` on (-scale, scale); `normal` with standard deviation scale; `orthogonal`
    (Saxe et al. 2014) and `identity` (Le et al. 2015) times scale, gate by gate; `zeros`.
    A scale of None is 1 for orthogonal and identity, and 1/sqrt(H) for the other two, which
    for `uniform` is what torch.nn does.

    A kind may also be a function, by its module and name, as `torch.nn.init.xavier_normal_`: it is
    called with the weights of one gate, (H, X), (H, H) or (H), and with the scale where there is
    one, and fills them in place.
    """

    input: str = "uniform"
    input_scale: float | None = None
    recurrent: str = "uniform"
    recurrent_scale: float | None = None
    bias: str = "zeros"
    bias_scale: float | None = None
    vector: str = "uniform"
    vector_scale: float | None = None


def fill(
    weight: Tensor, kind: str, scale: float | None, hidden_size: int, option: str = ""
) -> None:
    """Draw the weights of one gate, (H, X), (H, H) or (H), in place by a kind of `Init`.

    option: what chose the kind, as `cell.init.input`, for errors.

    Raises UserError where a function of the user's own cannot.
    """
    with torch.no_grad():
        if kind == "zeros":
            weight.zero_()
        elif kind == "orthogonal":
            nn.init.orthogonal_(weight, gain=1.0 if scale is None else scale)
        elif kind == "identity":
            nn.init.eye_(weight).mul_(1.0 if scale is None else scale)
        else:
            if "." in kind:
                shape = tuple(weight.shape)
                named = f"{option}={kind}" if option else kind
                weight.fill_(math.nan)  # to see what is left as it was
                try:
                    load_class(kind)(weight, *([] if scale is None else [scale]))
                except Exception as error:  # of the user's own code
                    what = " ".join(str(error).split()) or type(error).__name__
                    raise UserError(f"{named} cannot fill weights {shape}: {what}") from error
                if not weight.isfinite().all():
                    raise UserError(
                        f"{named} leaves weights {shape} that are not finite numbers: let it fill "
                        "the tensor that it is given, in place"
                    )
                return
            width = 1 / math.sqrt(hidden_size) if scale is None else scale
            if kind == "uniform":
                weight.uniform_(-width, width)
            elif kind == "normal":
                weight.normal_(0.0, width)
            else:
                raise ValueError(f"no initializer is called {kind!r}")
