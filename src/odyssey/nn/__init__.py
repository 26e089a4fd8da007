"""Models: embedding, layers of cells in one or two directions, linear heads."""

from odyssey.nn.rnn import RNN
from odyssey.nn.sequence import EncoderDecoder, HeadInit, SequenceModel, Sizes
from odyssey.nn.stack import (
    Stack,
    StackState,
    detach,
    flatten_state,
    read_end,
    unflatten_state,
)

__all__ = [
    "RNN",
    "EncoderDecoder",
    "HeadInit",
    "SequenceModel",
    "Sizes",
    "Stack",
    "StackState",
    "detach",
    "flatten_state",
    "read_end",
    "unflatten_state",
]
