"""What every target must keep, as plain functions: `for check in target_checks(): check(Case(target, toy, folder))`.

A check raises AssertionError. `UnsupportedByTarget` from the export means that the target declines the toy: only
`check_export` fails on it, so a target that declines must say so in its `xfail`, by `check_export[TOY]`.
"""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadInput, TorchportError
from ..targets import targets
from ..targets.base import Arrays, ExportOptions, Target
from ..targets.shared.runner import Runner

if TYPE_CHECKING:
    from ..frontend.program import Program
    from ..types import Artifact
    from .toys import Toy

__all__ = ["Case", "expected_failure", "required", "target_checks"]

PRECISION = "fp32"


@dataclass
class Case:
    """One target with one toy; the program and the artefact are made when first asked for, and shared by the checks.

    Attributes:
        target: what is checked.
        toy: the model, from `torchport.testing.toys.TOYS`.
        root: an empty folder for the artefacts.
    """

    target: Target
    toy: Toy
    root: Path
    _artifact: Artifact | TorchportError | None = field(default=None, repr=False)

    @cached_property
    def program(self) -> Program:
        """The captured toy."""
        return self.toy.program()

    @cached_property
    def folder(self) -> Path:
        """Where the artefact lies: a name with a space and letters beyond ASCII."""
        return self.root / "ein Gerät 模型"

    @property
    def artifact(self) -> Artifact:
        """The artefact; an export that failed raises the same error on every access."""
        if self._artifact is None:
            try:
                self._artifact = self.export(self.folder, self.program)
            except TorchportError as exc:
                self._artifact = exc
        if isinstance(self._artifact, TorchportError):
            raise self._artifact
        return self._artifact

    def export(self, folder: Path, program: Program) -> Artifact:
        """Export into a new folder."""
        folder.mkdir(parents=True)
        needed = self.target.needs(PRECISION)
        parent = None
        if needed is not None:
            (folder / "parent").mkdir()
            parent = targets.get(needed[0]).export(program, folder / "parent", ExportOptions(precision=needed[1]))
        artifact = self.target.export(program, folder, ExportOptions(precision=PRECISION), parent)
        shutil.rmtree(folder / "parent", ignore_errors=True)
        return artifact

    def open(self, folder: Path | None = None) -> Runner:
        """Open the artefact with one thread, where it was made or from a copy."""
        return self.target.open(self.artifact, folder or self.folder, self.toy.signature, threads=1)

    @cached_property
    def runner(self) -> Runner:
        """An opened runner that the checks share; it stays open."""
        return self.open()

    def assert_right(self, runner: Runner, feed: Arrays) -> None:
        """The answer to a feed is the toy's own, within the target's tolerance."""
        self.assert_equal(runner.run(feed), self.toy.expected(feed))

    def assert_equal(self, got: Arrays, wanted: Arrays) -> None:
        """Two answers agree: `max|a - b| / max|b|` within the target's tolerance, integers and booleans exactly."""
        tolerance = self.target.tolerance(PRECISION)
        assert tolerance is not None, f"{self.target.name} states no tolerance for {PRECISION}"
        assert list(got) == list(wanted)
        for name, right in wanted.items():
            assert got[name].shape == right.shape, f"'{name}' is {got[name].shape}, not {right.shape}"
            if right.dtype.kind != "f":
                assert np.array_equal(got[name], right), f"'{name}' differs"
                continue
            worst = float(np.abs(got[name] - right).max(initial=0) / max(np.abs(right).max(initial=0), 1e-30))
            assert worst <= tolerance, f"'{name}' is off by {worst:.1e} of the greatest value, allowed {tolerance:.0e}"


def check_export(case: Case) -> None:
    """The export gives an entry and files that are there, inside the folder, with io for every tensor."""
    graph = case.artifact.graphs["model"]
    assert graph.entry in graph.files
    assert sorted(graph.files) == sorted(path.relative_to(case.folder).as_posix() for path in _files(case.folder))
    assert set(graph.io) == {spec.name for spec in (*case.toy.signature.inputs, *case.toy.signature.outputs)}
    assert case.artifact.target == case.target.name
    assert case.artifact.precision == PRECISION


def check_names_and_dtypes(case: Case) -> None:
    """The outputs have the signature's names, in its order, dtypes and ranks."""
    answer = case.runner.run(case.toy.feed())
    specs = case.toy.signature.outputs
    assert list(answer) == [spec.name for spec in specs]
    assert [array.dtype.name for array in answer.values()] == [spec.dtype for spec in specs]
    assert [array.ndim for array in answer.values()] == [len(spec.shape) for spec in specs]


def check_parity(case: Case) -> None:
    """The answer is right, again on a second call, and the input is left as it was."""
    feed = case.toy.feed()
    kept = {name: array.copy() for name, array in feed.items()}
    case.assert_right(case.runner, feed)
    case.assert_right(case.runner, feed)
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
    case.assert_equal(together, case.toy.expected(feed))


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
    second = case.export(again, case.toy.program())
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
    assert used.precision == PRECISION
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
        case.assert_equal(answer, case.toy.expected(feed))


def target_checks() -> list[Callable[[Case], None]]:
    """Every check, the cheap explanations first."""
    return [
        check_export,
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


def expected_failure(target: Target, check: str, toy: str) -> str | None:
    """Why the target says that a check fails, for this toy (`check_parity[conv]`) or for all (`check_parity`)."""
    return target.xfail.get(f"{check}[{toy}]", target.xfail.get(check))


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
