"""AOTInductor: `.pt2` packages of native code, compiled ahead of time for where PyTorch itself is the runtime.

The code is compiled for a level of instruction sets rather than for this very CPU, so that it can be said which other
machines run it. A package is a shared library: opening one runs the code of whoever made it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..errors import RunError, UnsupportedByTarget
from ..system import machine
from ..system.disk import temporary, write_file
from ..system.noise import quiet
from ..types import BuiltFor, GraphFile, TensorIO
from .base import Availability, ExportOptions, Target, plain_io
from .eager import TorchRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..frontend.program import GraphProgram

_NAME = "model"
_KEPT = re.compile(
    rf"{_NAME}/(archive_format|archive_version|byteorder|\.data/version"
    rf"|data/aotinductor/{_NAME}/{_NAME}\.wrapper(\.so|_metadata\.json))"
)
"""What a package needs to be opened. The rest is the code that was compiled, with the paths it was compiled under."""

_THREADS = 8
"""Threads that loops are cut up for; how many there are is found out as they run."""


class Level(NamedTuple):
    """One level of a kind of CPU: the compiler's name of it, the class of PyTorch's that writes such code, and what a
    CPU must have for it.
    """

    march: str
    vectors: str
    instruction_sets: tuple[str, ...]


_AVX2 = Level("x86-64-v3", "VecAVX2", ("avx2", "fma", "f16c"))
_WIDE = ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
_LEVELS = {
    "x86_64": (Level("x86-64-v4", "VecAVX512", (*_AVX2.instruction_sets, *_WIDE)), _AVX2),
    "aarch64": (Level("armv8-a", "VecNEON", ("neon",)),),
}
"""Architecture -> its levels, the widest first."""


class AotInductorRunner(TorchRunner):
    """Loads the package's library; inputs and outputs by position, in the signature's order."""

    def _load(self, path: Path) -> Any:
        import torch

        with zipfile.ZipFile(path) as archive:  # the loader would unpack whatever else is in it
            strange = [name for name in archive.namelist() if not _KEPT.fullmatch(name)]
        if strange:
            raise RunError(f"{path.name} holds more than a package of AOTInductor does: {strange[0][:60]!r}")
        # torch's own function in Python compares the CPU's name for its vectors, and warns where a CPU has more
        loader: Any = torch._C._aoti.AOTIModelPackageLoader(str(path), _NAME, False, 1, -1)
        names = [self.graph.io[spec.name].name for spec in self.signature.outputs]
        return lambda *inputs: dict(zip(names, loader.run(list(inputs)), strict=True))


class AotInductor(Target):
    """The exported program compiled to a shared library, for the widest vectors that this machine has."""

    name = "aotinductor"
    suffix = "pt2"
    turn = 2
    automatic = False  # it takes some 10 s of the processor a graph, and PyTorch is needed where it runs
    module = "torch"
    packages = ("torch",)
    executes_code = True
    opens = "same"  # the library links to PyTorch's own
    xfail = {"check_export[scripted]": "only TorchScript captures a loop over a dynamic length"}
    runner = AotInductorRunner
    portable: ClassVar[bool] = False

    def available(self, *, build: bool = False) -> Availability:
        """Whether PyTorch is installed and, with `build`, a compiler of C++ for a kind of CPU that is known here."""
        state = super().available(build=build)
        if state.status != "ok" or not build:
            return state
        if not self._levels():
            known = " and ".join(_LEVELS)
            return Availability("absent", reason=f"it compiles on {known} only, this is {machine.describe().cpu}")
        if shutil.which(compiler := machine.compiler()) is None:
            return Availability("absent", reason=f"{compiler} is not installed, which compiles the code")
        return state

    def built_for(self, options: ExportOptions) -> BuiltFor:
        """This system and architecture, and the CPUs that have the level's instruction sets."""
        return BuiltFor(
            systems=(machine.system(),),
            architectures=(machine.describe().architecture,),
            instruction_sets=self._level().instruction_sets,
        )

    def _level(self) -> Level:
        return self._levels()[-1 if self.portable else 0]

    def _levels(self) -> list[Level]:
        here = machine.describe()
        known = _LEVELS.get(machine.known_architecture(here.architecture), ())
        return [level for level in known if {*level.instruction_sets} <= {*here.instruction_sets}]

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        from torch._inductor import aoti_compile_and_package
        from torch._inductor.exc import LoweringException

        exported = graph.need_exported(self.name)
        with temporary() as folder, _compiling(self._level(), folder) as settings, quiet():
            try:
                aoti_compile_and_package(exported, package_path=str(folder / "out.pt2"), inductor_configs=settings)
            except LoweringException as exc:
                found = re.search(r"target: (\S+)", str(exc))
                raise UnsupportedByTarget(
                    f"aotinductor has no {found[1] if found else 'operator'} that graph '{graph.name}' needs",
                    "write the model without it, or use another target",
                ) from exc
            write_file(entry, _repacked(folder / "out.pt2"))
        return plain_io(graph.signature)


@contextlib.contextmanager
def _compiling(level: Level, folder: Path) -> Iterator[dict[str, Any]]:
    """Settings that make the same bytes of the same program anywhere; what the compiler leaves lies in `folder`."""
    import torch
    from torch._inductor import cpu_vec_isa

    vectors, before = getattr(cpu_vec_isa, level.vectors)(), cpu_vec_isa.valid_vec_isa_list
    installed = Path(torch.__file__).parents[1]
    anywhere = "".join(f" -ffile-prefix-map={shlex.quote(str(place))}=." for place in (folder, installed))
    # it would take all that this CPU has
    cpu_vec_isa.valid_vec_isa_list = lambda: [vectors]  # type: ignore[assignment]
    kept = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "cache")
    try:
        yield {
            "compile_threads": 1,
            "cpp.march": level.march + anywhere,
            "cpp.vec_isa_ok": True,  # no trial of every kind of vectors, 15 s of the processor: parity tries it
            "cpp.threads": _THREADS,
            "cpp.dynamic_threads": True,
            "aot_inductor.model_name_for_generated_files": _NAME,
            "aot_inductor.enable_line_tables": False,
            # they lie in a folder that anyone can write to, take 130 MB, and are worth it from the third graph on
            "aot_inductor.precompile_headers": False,
        }
    finally:
        cpu_vec_isa.valid_vec_isa_list = before
        os.environ.pop("TORCHINDUCTOR_CACHE_DIR")
        if kept is not None:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = kept


def _repacked(package: Path) -> bytes:
    """The package without the code that it was compiled from."""
    made = io.BytesIO()
    with zipfile.ZipFile(package) as source, zipfile.ZipFile(made, "w") as archive:
        for member in source.infolist():
            name = f"{_NAME}/{member.filename.partition('/')[2]}"
            if _KEPT.fullmatch(name):
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), source.read(member))
    return made.getvalue()
