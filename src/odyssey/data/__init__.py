"""Named, hashed data: texts, labelled sentences, images, piano rolls."""

from odyssey.data.images import IMAGES, images
from odyssey.data.labelled import SENTENCES, sentences
from odyssey.data.rolls import ROLLS, rolls
from odyssey.data.text import TEXTS, text
from odyssey.data.types import Dataset, Images, Labelled, Rolls, Text

__all__ = [
    "IMAGES",
    "ROLLS",
    "SENTENCES",
    "TEXTS",
    "Dataset",
    "Images",
    "Labelled",
    "Rolls",
    "Text",
    "images",
    "rolls",
    "sentences",
    "text",
]
