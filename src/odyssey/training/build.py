"""From a configuration and a task's wishes to a model."""

from __future__ import annotations

from typing import Any

from torch import nn

from odyssey.cells import Cell, Init
from odyssey.errors import UserError
from odyssey.nn import EncoderDecoder, HeadInit, SequenceModel, Sizes
from odyssey.registry import load_class
from odyssey.tasks.base import ModelSpec


def build_model(cfg: Any, spec: ModelSpec) -> nn.Module:
    """A model of `cfg.cell` and `cfg.model` for a task's `spec`; weights from torch's generator."""
    kind = load_class(cfg.cell._target_)
    init = Init(**cfg.cell.init)

    def make_cell(input_size: int, hidden_size: int) -> Cell:
        try:
            return kind(
                input_size,
                hidden_size,
                init=init,
                forget_bias=cfg.cell.forget_bias,
                **cfg.cell.options,
            )
        except (TypeError, ValueError) as error:  # a user's cell that only some sizes suit
            raise UserError(
                f"cell._target_={cfg.cell._target_} cannot be made with {input_size} inputs and "
                f"{hidden_size} units: {error}"
            ) from error

    m = cfg.model
    sizes = Sizes(
        m.hidden_size, m.num_layers, m.bidirectional, m.dropout, m.embedding_size, m.backend
    )
    head_init = HeadInit(m.init.kind, m.init.scale, m.init.bias)
    if spec.head == "decoder":
        return EncoderDecoder(
            make_cell,
            sizes,
            input_size=spec.input_size,
            output_size=spec.output_size,
            head_init=head_init,
        )
    return SequenceModel(
        make_cell,
        sizes,
        input=spec.input,
        input_size=spec.input_size,
        output_size=spec.output_size,
        head=spec.head,
        head_init=head_init,
    )
