"""What every target must keep, as plain functions: `for check in target_checks(): check(Case(target, toy, folder))`.

A check raises AssertionError. `UnsupportedByTarget` from the export means that the target declines the toy: only
`check_export` fails on it, so a target that declines must say so in its `xfail`, by `check_export[TOY]`.
`RunsElsewhere` means that the artefact was made here and runs on other machines: there is nothing to check but what
does not run it. `Case(target, toy, folder, precision)` checks what the target offers beside fp32.
"""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from ..errors import BadInput, RunError, TorchportError, UnsupportedByTarget
from ..targets.base import Target
from ..types import PLAIN, BuiltFor
from .case import Case, RunsElsewhere

__all__ = ["Case", "RunsElsewhere", "expected_failure", "required", "target_checks"]


def check_offline(case: Case) -> None:
    """Converting, opening and answering start no installer and open no internet socket; see `offline` for what is
    seen.
    """
    from .offline import outside
    from .toys import TOYS

    if case.toy is not next(iter(TOYS.values())) or case.precision != PLAIN:
        assert case.artifact.graphs
        return

    def work() -> None:
        other = Case(case.target, case.toy, case.root / "offline")
        with other.open() as runner:
            other.assert_right(runner, case.toy.feed())

    found = outside(work, case.root / "traps")
    assert not found, f"{case.target.name} reaches beyond this machine: {'; '.join(found)}"


def check_export(case: Case) -> None:
    """The export gives an entry and files that are there, inside the folder, with io for every tensor."""
    graph = case.artifact.graphs["model"]
    assert graph.entry in graph.files
    assert sorted(graph.files) == sorted(path.relative_to(case.folder).as_posix() for path in _files(case.folder))
    assert set(graph.io) == {spec.name for spec in (*case.toy.signature.inputs, *case.toy.signature.outputs)}
    assert case.artifact.target == case.target.name
    assert (case.artifact.precision, graph.precision) == (case.precision, case.precision)
    assert case.artifact.declined == {}


def check_declined(case: Case) -> None:
    """A graph that the target cannot express is left out with the reason, where the host answers for it, and fails the
    export where nobody does.
    """
    from .toys import TOYS

    program = case.program if case.artifact else None
    if program is None or case.toy is not next(iter(TOYS.values())) or case.precision != PLAIN:
        return
    toys = [TOYS[name] for name in TOYS if f"check_export[{name}]" in case.target.xfail]
    aside = {f"aside_{toy.name}": replace(toy.program().graphs["model"], name=f"aside_{toy.name}") for toy in toys}
    if not aside:
        return
    # what is declined comes first, so that what has to fail fails before the model is converted
    all_of_them = replace(program, graphs={**aside, **program.graphs})
    place = case.root / "beside"
    made = case.export(place, replace(all_of_them, optional=tuple(aside)))
    assert set(made.graphs) == {"model"}
    for toy, name in zip(toys, aside, strict=True):
        assert made.declined[name]
        alone = replace(program, graphs={name: aside[name], **program.graphs})
        for refused in (
            lambda toy=toy, name=name: case.target.open(made, place, toy.signature, name),
            lambda alone=alone, toy=toy: case.export(case.root / f"with {toy.name}", alone),
        ):
            assert _declines(refused), f"{toy.name} was declined, and then taken"


def _declines(call: Callable[[], object]) -> bool:
    try:
        call()
    except UnsupportedByTarget:
        return True
    return False


def check_elsewhere(case: Case) -> None:
    """An artefact for other machines says which, and is refused here before its file is loaded."""
    made, why = case.artifact, case.target.fits(case.artifact)
    impossible = msgspec.structs.replace(made, built_for=BuiltFor(instruction_sets=("no_such_instruction",)))
    for one in [impossible, *([made] if why else [])]:
        try:
            case.target.open(one, case.folder, case.toy.signature)
        except RunError:
            continue
        raise AssertionError(f"opened what was built for {one.built_for}")


def check_names_and_dtypes(case: Case) -> None:
    """The outputs have the signature's names, in its order, dtypes and ranks."""
    answer = case.runner.run(case.toy.feed())
    specs = case.toy.signature.outputs
    assert list(answer) == [spec.name for spec in specs]
    assert [array.dtype.name for array in answer.values()] == [spec.dtype for spec in specs]
    assert [array.ndim for array in answer.values()] == [len(spec.shape) for spec in specs]


def check_parity(case: Case) -> None:
    """The answer is right, again on a second call with the inputs in another order, and the input is left as it was."""
    feed = case.toy.feed()
    kept = {name: array.copy() for name, array in feed.items()}
    case.assert_right(case.runner, feed)
    case.assert_right(case.runner, dict(reversed(feed.items())))
    assert all(np.array_equal(feed[name], kept[name]) for name in feed)


def check_batch(case: Case) -> None:
    """A batch of 4 answers like 4 batches of 1, and the right thing."""
    if not any("batch" in spec.shape for spec in case.toy.signature.inputs):
        return
    from .toys import EXAMPLE

    feed = case.toy.feed({**EXAMPLE, "batch": 4}, seed=1)
    together = case.runner.run(feed)
    singles = [case.runner.run({name: array[i : i + 1] for name, array in feed.items()}) for i in range(4)]
    case.assert_equal(together, {name: np.concatenate([single[name] for single in singles]) for name in together})
    case.assert_equal(together, case.expected(feed))


def check_other_sizes(case: Case) -> None:
    """Every dynamic dimension takes another size than the example's, and goes back."""
    from .toys import EXAMPLE, OTHER

    for sizes in (OTHER, EXAMPLE):
        case.assert_right(case.runner, case.toy.feed(sizes, seed=2))


def check_moved(case: Case) -> None:
    """A copy opens and answers when the folder that it was made in is gone."""
    assert case.artifact.graphs
    copy, away = case.root / "moved" / "copy", case.root / "away"
    shutil.copytree(case.folder, copy)
    case.folder.rename(away)
    try:
        with case.open(copy) as runner:
            case.assert_right(runner, case.toy.feed(seed=3))
    finally:
        away.rename(case.folder)


def check_leaves_folder_alone(case: Case) -> None:
    """Opening and running write nothing beside the artefact."""
    before = {path: path.stat().st_mtime_ns for path in _files(case.folder)} if case.artifact else {}
    with case.open() as runner:
        runner.run(case.toy.feed())
    assert {path: path.stat().st_mtime_ns for path in _files(case.folder)} == before


def check_bad_input(case: Case) -> None:
    """A wrong name, dtype, rank or fixed size is BadInput, and the runner goes on answering."""
    feed = case.toy.feed()
    name, array = next(iter(feed.items()))
    rest = {key: value for key, value in feed.items() if key != name}
    wrong = [rest, {**feed, "unheard_of": array}, {**rest, name: array.astype(np.float64)}, {**rest, name: array[None]}]
    wrong += [
        {**rest, name: np.repeat(array, 2, axis=axis)}
        for axis, dim in enumerate(case.toy.signature.inputs[0].shape)
        if isinstance(dim, int)
    ]
    for bad in wrong:
        try:
            case.runner.run(bad)
        except BadInput:
            continue
        raise AssertionError(f"took {[(key, value.dtype.name, value.shape) for key, value in bad.items()]}")
    case.assert_right(case.runner, feed)


def check_deterministic(case: Case) -> None:
    """A second capture and export into another folder gives the same files."""
    again = case.root / "again"
    second = case.export(again, case.captured())
    assert second == case.artifact
    for first in _files(case.folder):
        name = first.relative_to(case.folder)
        assert case.target.fingerprint(again / name) == case.target.fingerprint(first), (
            f"{name} differs between two exports"
        )


def check_private(case: Case) -> None:
    """No file names the folder it was made in, the working folder, the interpreter's folder, or the user's home."""
    assert case.artifact.graphs
    secrets = {
        str(folder)
        for folder in (case.folder, case.root, Path.cwd(), Path(sys.prefix), Path.home(), Path(__file__).parents[2])
    }
    for path in _files(case.folder):
        for content in _contents(path):
            found = [secret for secret in secrets if len(secret) > 1 and _mentions(content, secret)]
            assert not found, f"{path.name} contains {found[0]}"


def check_used(case: Case) -> None:
    """The runner says what really runs."""
    used = case.runner.used
    assert used.library
    assert used.version
    assert used.provider
    assert used.precision == PLAIN if case.precision == PLAIN else used.precision
    assert used.threads in (1, None)


def check_close(case: Case) -> None:
    """Closing twice is harmless, and a closed runner refuses with an error of ours."""
    runner = case.open()
    runner.close()
    runner.close()
    try:
        runner.run(case.toy.feed())
    except TorchportError:
        return
    raise AssertionError("a closed runner answered")


def check_threads(case: Case) -> None:
    """Calls of several threads at once are answered like one after the other, and an answer stays as it is when others
    follow.
    """
    feeds = [case.toy.feed(seed=seed) for seed in range(4)]
    with case.open() as runner:
        alone = [runner.run(feed) for feed in feeds]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda number: runner.run(feeds[number % 4]), range(24)))
    for number, answer in enumerate(together):
        case.assert_equal(answer, alone[number % 4])
    for answer, feed in zip(alone, feeds, strict=True):
        case.assert_equal(answer, case.expected(feed))


def target_checks() -> list[Callable[[Case], None]]:
    """Every check, the cheap explanations first."""
    return [
        check_offline,
        check_export,
        check_declined,
        check_elsewhere,
        check_names_and_dtypes,
        check_parity,
        check_batch,
        check_other_sizes,
        check_moved,
        check_leaves_folder_alone,
        check_bad_input,
        check_deterministic,
        check_private,
        check_used,
        check_threads,
        check_close,
    ]


def expected_failure(target: Target, check: str, toy: str, precision: str = PLAIN) -> str | None:
    """Why the target says that a check fails: for this toy and precision (`check_parity[conv-int8_static]`), for this
    toy (`check_parity[conv]`), for this precision (`check_parity[int8_static]`), or for all (`check_parity`).
    """
    names = ([f"{check}[{toy}-{precision}]"] if precision != PLAIN else []) + [
        f"{check}[{toy}]",
        f"{check}[{precision}]",
    ]
    return next((target.xfail[name] for name in [*names, check] if name in target.xfail), None)


def required(name: str) -> bool:
    """Whether the environment says that this target's dependencies may not be missing:
    `TORCHPORT_MUST_HAVE=onnx,openvino`.
    """
    return name in os.environ.get("TORCHPORT_MUST_HAVE", "").replace(" ", "").split(",")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _mentions(content: bytes, path: str) -> bool:
    """Whether a file holds the path as a whole: `/root` is not mentioned by `/rooted`."""
    at = content.find(path.encode())
    while at >= 0:
        following = content[at + len(path.encode()) :][:1]
        if not (following.isalnum() or (following in b"_-." and following)):
            return True
        at = content.find(path.encode(), at + 1)
    return False


def _contents(path: Path) -> Iterator[bytes]:
    """A file's bytes and, for an archive, its names and members as well."""
    yield path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield "\n".join(archive.namelist()).encode()
            for member in archive.namelist():
                yield archive.read(member)
