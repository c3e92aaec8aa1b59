"""Whether an artefact can run on this machine."""

from __future__ import annotations

from ...errors import MissingDependency, RunError
from ...types import Artifact
from .. import targets
from ..base import Availability, Target


def require(target: Target, artifact: Artifact, state: Availability | None = None) -> None:
    """See that a target's runtime loads, and that this machine is one that the artefact was built for.

    Args:
        state: what `target.available()` answered elsewhere, such as in a child; None asks it here.

    Raises:
        MissingDependency: the runtime is not installed, or does not load.
        RunError: the artefact was built for other machines.
    """
    if (why := target.fits(artifact)) is not None:
        raise RunError(why, "use another variant, or deploy again on this machine")
    state = state or target.available()
    if state.status != "ok":
        raise MissingDependency(f"{state.reason}", targets.install_hint(target.name))
