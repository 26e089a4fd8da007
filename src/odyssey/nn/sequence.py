"""Models from a batch's inputs to logits: embedding, stack of cells, linear head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from odyssey.cells.init import fill
from odyssey.errors import UserError
from odyssey.nn.restarts import restarted
from odyssey.nn.stack import MakeCell, Stack, StackState, read_end


@dataclass(frozen=True)
class HeadInit:
    """Initial distributions of embedding and head; torch.nn's own where `kind` is None.

    Kinds and scale are those of `odyssey.cells.Init`; each weight and each bias is one tensor,
    (tokens, E) or (K, H), and (K).
    """

    kind: str | None = None
    scale: float | None = None
    bias: str = "zeros"

    def apply(self, *modules: nn.Module) -> None:
        """Draw the weights and biases of linear and embedding modules in place."""
        if self.kind is None:
            return
        for module in modules:
            for name, value in module.named_parameters():
                kind = self.bias if name == "bias" else self.kind
                option = "model.init.bias" if name == "bias" else "model.init.kind"
                fill(value, kind, self.scale, value.shape[-1], option)


class Reader(nn.Module):
    """Inputs, tokens (T, B) or reals (T, B, X), to inputs of a stack (T, B, `output_size`)."""

    def __init__(self, kind: str, input_size: int, embedding_size: int | None) -> None:
        super().__init__()
        self.input_size = input_size
        self.tokens = kind == "tokens"
        embedded = self.tokens and embedding_size is not None
        self.embedding = nn.Embedding(input_size, embedding_size or 1) if embedded else None
        self.output_size = embedding_size if embedded and embedding_size else input_size

    def forward(self, inputs: Tensor, lengths: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Embeddings, or one-hot vectors of `dtype` without one; padding may hold anything."""
        if not self.tokens:
            return inputs
        if lengths is not None:  # padding need not be a token at all
            time = torch.arange(inputs.shape[0], device=inputs.device).unsqueeze(1)
            inputs = inputs * (time < lengths.to(inputs.device, non_blocking=True))
        if self.embedding is not None:
            return self.embedding(inputs)
        return F.one_hot(inputs, self.input_size).to(dtype)


@dataclass(frozen=True)
class Sizes:
    """The sizes and options of a stack; see `Stack`."""

    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    embedding_size: int | None = None
    backend: str = "auto"


class SequenceModel(nn.Module):
    """A stack with a linear head at each step or at the end of each sequence.

    head `step`: logits (T, B, K). head `last`: logits (B, K) from the forward direction's last
    valid step and the backward direction's first.
    """

    def __init__(
        self,
        make_cell: MakeCell,
        sizes: Sizes,
        *,
        input: Literal["tokens", "real"],
        input_size: int,
        output_size: int,
        head: Literal["step", "last"],
        head_init: HeadInit | None = None,
    ) -> None:
        super().__init__()
        self.reader = Reader(input, input_size, sizes.embedding_size)
        self.stack = make_stack(make_cell, self.reader.output_size, sizes)
        self.head = nn.Linear(self.stack.output_size, output_size)
        self.last = head == "last"
        (head_init or HeadInit()).apply(self.reader, self.head)

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: StackState | None = None,
        *,
        truncation: int | None = None,
        decoder: Tensor | None = None,
        starts: Tensor | None = None,
    ) -> tuple[Tensor, StackState]:
        """Logits, and the state at the end of each sequence.

        starts (T, B), bool on the CPU: steps before which the state is set to zero; see `restarted`
        """
        x = self.reader(inputs, lengths, self.head.weight.dtype)
        if starts is None:
            y, state = self.stack(x, lengths, state, truncation)
        else:
            y, state = restarted(self.stack, x, starts, state)
        if self.last:
            y = read_end(y, lengths, self.stack.directions)
        return self.head(y), state


class EncoderDecoder(nn.Module):
    """A stack reads the source; a second one starts from its final state and reads the targets.

    Both read the same kind of tokens. The decoder is fed `decoder` (S, B), at training the
    target shifted by one (teacher forcing), and gives logits (S, B, K). Sutskever et al. 2014,
    "Sequence to Sequence Learning with Neural Networks" (arXiv 1409.3215).

    Raises UserError for two directions: the decoder's backward one would read the answers.
    """

    def __init__(
        self,
        make_cell: MakeCell,
        sizes: Sizes,
        *,
        input_size: int,
        output_size: int,
        head_init: HeadInit | None = None,
    ) -> None:
        super().__init__()
        if sizes.bidirectional:
            raise UserError(
                "model.bidirectional=true with an encoder and a decoder would let the decoder read "
                "the very symbols it is to say; type model.bidirectional=false"
            )
        self.reader = Reader("tokens", input_size, sizes.embedding_size)
        self.stack = make_stack(make_cell, self.reader.output_size, sizes)
        self.decoder_reader = Reader("tokens", input_size, sizes.embedding_size)
        self.decoder = make_stack(make_cell, self.decoder_reader.output_size, sizes)
        self.head = nn.Linear(self.decoder.output_size, output_size)
        (head_init or HeadInit()).apply(self.reader, self.decoder_reader, self.head)

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: StackState | None = None,
        *,
        truncation: int | None = None,
        decoder: Tensor | None = None,
    ) -> tuple[Tensor, StackState]:
        """Logits at each step of `decoder`, and the decoder's last state."""
        if decoder is None:
            raise ValueError("an encoder-decoder needs the tokens that its decoder reads")
        dtype = self.head.weight.dtype
        x = self.reader(inputs, lengths, dtype)
        _, state = self.stack(x, lengths, state, truncation)
        y, state = self.decoder(self.decoder_reader(decoder, None, dtype), None, state, truncation)
        return self.head(y), state


def make_stack(make_cell: MakeCell, input_size: int, sizes: Sizes) -> Stack:
    """A stack of these sizes over inputs of `input_size`."""
    return Stack(
        make_cell,
        input_size,
        sizes.hidden_size,
        num_layers=sizes.num_layers,
        bidirectional=sizes.bidirectional,
        dropout=sizes.dropout,
        backend=sizes.backend,
    )
