"""AOTInductor for most CPUs of an architecture: a Bundle may hold it beside the package for wider vectors."""

from __future__ import annotations

from .aotinductor import AotInductor


class Portable(AotInductor):
    """The same for the narrowest vectors of this kind of CPU, so that most machines run it."""

    name = "aotinductor_portable"
    portable = True
