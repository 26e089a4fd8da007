"""Language model over characters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from odyssey.data.types import Text
from odyssey.tasks import characters
from odyssey.tasks.metric import Metric
from odyssey.tasks.streamed import LanguageModel


class CharLM(LanguageModel):
    """The next character of a text, in nats and bits per character.

    Logits (T, B, K) over the K characters of the training part seen at least `min_count` times,
    and `<unk>` for all others unless `unknown` is false. With batch_size=1, unknown=false,
    reduction=sum and drop_last=true it is the task of Karpathy's min-char-rnn
    (gist.github.com/karpathy/d4dee566867f8291f086), but that min-char-rnn also drops a window
    that ends exactly with the text.
    """

    name = "charlm"
    measures = (
        Metric("bits_per_char", "min", "bits per character", "bits per character"),
        Metric("nats_per_char", "min", "nats per character", "nats per character"),
    )
    unit = "character"
    rare = {"python": 10}
    start = "\n"
    prompts = {"python": "def "}

    def count(self, text: Text) -> Mapping[str, int]:
        return characters.count(text)

    def encode(self, text: Text, part: str) -> Any:
        return characters.encode(text, self.vocabulary, part)

    def symbols(self, text: str) -> Sequence[str]:
        return text

    def piece(self, symbol: str, before: str | None) -> str:
        return symbol

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        nats = means["nats"]
        return {"nats_per_char": nats, "bits_per_char": nats / math.log(2)}
