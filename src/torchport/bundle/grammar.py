"""The letters, names and greatest numbers of a manifest."""

from __future__ import annotations

import re

MOST_BYTES = 32 << 20
"""The greatest manifest, in bytes."""


MOST = {
    "variants": 1000,
    "graphs": 256,
    "steps": 256,
    "files": 20_000,
    "tensors of a graph": 4096,
    "golden items": 100_000,
    "axes": 16,
    "layers of lists": 32,
    "names of machines": 64,
    "sizes of an axis": 64,
}
"""The greatest number of each."""


MOST_SIZE = 1 << 50
"""The greatest number that counts bytes, and the greatest length of an axis."""


MOST_RATIO = 1000
"""How many times larger than it is stored a coded file may become, beyond the first MiB."""


DTYPES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "bfloat16",
)


ID = re.compile(r"[\w][\w.@+-]{0,199}", re.ASCII)
"""Ids of variants, names of recipes, precisions, targets, tasks, profiles and host steps."""


NAME = re.compile(r"[\w.:/@+=,#%&*\[\] -]{1,256}")
"""Names of tensors, graphs, steps and values: no quote, bracket, backslash or control character."""


LENGTH = re.compile(r"[\w.:/@+=,#%&*\[\]() -]{1,2000}")
"""A dynamic length: a name, or in an output an expression of names, such as `(length - 9)//4 + 1`."""


PART = re.compile(r"[\w.@+=,#~ -]{1,128}")
"""One part of a path."""


SHA256 = re.compile(r"[0-9a-f]{64}")


AGAIN = "ask for the Bundle again"


DISTRUST = "do not use this Bundle: ask for it from somebody you trust"


def printable(text: str, most: int = 200, barred: str = '`<>"\\|') -> str:
    """A text as it may stand in a line for people: control characters and the like become `_`, and so do marks of code
    and of Markdown.
    """
    return "".join(c if c.isprintable() and c not in barred else "_" for c in text[:most])
