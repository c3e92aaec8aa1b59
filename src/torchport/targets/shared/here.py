"""Whether an artefact can run on this machine."""

from __future__ import annotations

import importlib.util

from ...errors import MissingDependency, RunError
from ...system import machine
from ...types import Artifact
from .. import targets
from ..base import Availability, Target


def require(target: Target, artifact: Artifact, state: Availability | None = None) -> None:
    """See that a target's runtime loads, is of a release that opens the artefact, and that this machine is one that the
    artefact was built for.

    Args:
        state: what `target.available()` answered elsewhere, such as in a child; None asks it here.

    Raises:
        MissingDependency: the runtime is not installed, does not load, or is of another release.
        RunError: the artefact was built for other machines.
    """
    if (why := target.fits(artifact)) is not None:
        raise RunError(why, "use another variant, or deploy again on this machine")
    if (other := skew(target, artifact)) is not None:
        why, requirement = other
        raise MissingDependency(why, f"pip install '{requirement}', or use another variant")
    state = state or target.available()
    if state.status != "ok":
        raise MissingDependency(f"{state.reason}", targets.install_hint(target.name))


def skew(target: Target, artifact: Artifact) -> tuple[str, str] | None:
    """Why the runtime's release here does not open an artefact, in words, and the requirement that does; None where it
    does, or where it is not installed.
    """
    package = target.packages[0]
    made = artifact.requires.get(package)
    if made is None or target.opens == "any" or importlib.util.find_spec(target.module.partition(".")[0]) is None:
        return None
    here = target.version()
    then, now = machine.release(made), machine.release(here)
    if now == then or (target.opens == "older" and now > then):
        return None
    wanted, later = ".".join(map(str, then)), target.opens == "older"
    return (
        f"it needs {package} {wanted}{' or later' if later else ''}, with which it was made; here it is {here}",
        f"{package}>={wanted}" if later else f"{package}~={wanted}.0",
    )
