"""Checks of HTTP: the extensions that a server's metadata lists."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from .region import Region
from .target import NOBODY, Target
from .tensors import Tensor, same
from .verdicts import NotOffered, check, expect

HTTP = "HTTP"
REPOSITORY = "model_repository"
STATES = ("UNKNOWN", "READY", "UNAVAILABLE", "LOADING", "UNLOADING")


@check(HTTP, "classification, trap 12", extension="classification")
def classification(t: Target) -> None:
    """Classification answers BYTES `value:index[:label]`, the greatest first."""
    tensors, plain = t.small()
    name, numbers = numeric(plain)
    asked = {"name": name, "parameters": {"classification": 2}}
    told, found = t.infer(tensors, outputs=[asked])
    expect(told["outputs"][0]["datatype"] == "BYTES", f"the datatype is {told['outputs'][0]['datatype']}, not BYTES")
    classified(found[name], numbers)


def numeric(outputs: dict[str, Tensor]) -> tuple[str, np.ndarray]:
    """An output [batch, n] of numbers; raises NotOffered."""
    for name, one in outputs.items():
        if one.array.dtype.kind in "fiu" and one.array.ndim == 2 and one.array.size and one.datatype != "BF16":
            return name, one.array
    raise NotOffered("the model has no output of numbers [batch, n]")


def classified(found: Tensor, numbers: np.ndarray) -> None:
    """Raises Differs where the classes are not the greatest of the numbers."""
    expect(found.datatype == "BYTES", f"'{found.name}' is {found.datatype}, not BYTES")
    wanted = [len(numbers), min(2, numbers.shape[-1])]
    expect(list(found.array.shape) == wanted, f"the shape is {list(found.array.shape)}, not {wanted}")
    for row, texts in zip(numbers, found.array.tolist(), strict=True):
        for place, text in enumerate(texts):
            value, _, after = text.decode("utf-8", "replace").partition(":")
            index = after.partition(":")[0]
            expect(index.isdecimal() and int(index) < len(row), f"{text!r} is no value:index[:label]")
            greatest = float(np.sort(row.astype(np.float64))[::-1][place])
            given = float(row[int(index)])
            expect(np.isclose(given, greatest, rtol=1e-3, atol=1e-4), f"{text!r} is not the {place + 1}. greatest")
            try:
                expect(np.isclose(float(value), given, rtol=1e-3, atol=1e-4), f"{text!r} is {given}")
            except ValueError:
                expect(False, f"{text!r} begins with no number")


@check(HTTP, "model repository, trap 7", extension=REPOSITORY)
def repository_index(t: Target) -> None:
    """The repository's index is answered, also to an empty body."""
    for body in (None, b"", {}, {"ready": True}, {"ready": False}):
        rows = t.http.ask("POST", "v2/repository/index", body).ok()
        expect(isinstance(rows, list) and all(isinstance(row, dict) for row in rows), "it is no list of models")
        expect(all(isinstance(row.get("name"), str) for row in rows), "a model has no name")
        odd = next((row["state"] for row in rows if row.get("state", "READY") not in STATES), None)
        expect(odd is None, f"a model is {odd!r}")


@check(HTTP, "model repository, trap 13", extension=REPOSITORY)
def load_of_nobody(t: Target) -> None:
    """A model that is not there cannot be loaded."""
    for name in (NOBODY, "..%2F..%2Fetc"):
        t.http.ask("POST", f"v2/repository/models/{name}/load", {}).refused(400, 403, 404, 405)
    override = {"parameters": {"file:1/../../conform": base64.b64encode(b"x").decode(), "config": "{}"}}
    t.http.ask("POST", f"v2/repository/models/{NOBODY}/load", override).refused(400, 403, 404)


@check(HTTP, "model repository, trap 3", extension=REPOSITORY)
def reload(t: Target) -> None:
    """A model is unloaded and loaded."""
    tensors, wanted = t.small()
    if not t.reload:
        raise NotOffered("it takes the model away for a moment; ask for it with --reload")
    path, asked = f"v2/repository/models/{t.named.path.rpartition('/')[2]}", t.valid(tensors)
    try:
        t.http.ask("POST", f"{path}/unload", {"parameters": {"unload_dependents": False}}).ok()
        found = t.http.ask("GET", f"{t.named.path}/ready")
        expect(found.status in (400, 404, 503), f"it is {found.status} when it is unloaded")
        t.post(asked).refused(400, 404, 503)
    finally:
        t.http.ask("POST", f"{path}/load", {}).ok()
    t.http.ask("GET", f"{t.named.path}/ready").ok()
    same(t.infer(tensors)[1], wanted, "the answer once it is loaded again")


@check(HTTP, "model configuration", extension="model_configuration")
def model_configuration(t: Target) -> None:
    """GET v2/models/NAME/config has max_batch_size and the tensors."""
    configured(t.get(f"{t.named.path}/config"), t)


def configured(told: Any, t: Target) -> None:
    """Raises Differs where a configuration is not as clients read it."""
    expect(isinstance(told, dict) and told.get("name") == t.named.name, "it is not of that name")
    most = told.get("max_batch_size", 0)
    expect(type(most) is int and most >= 0, f"max_batch_size is {most!r}")
    for key, specs in (("input", t.named.inputs), ("output", t.named.outputs)):
        names = {one.get("name") for one in told.get(key, ())}
        expect(names == {one.name for one in specs}, f"{key} has {sorted(map(str, names))}")
        odd = [one for one in told[key] if not str(one.get("data_type")).startswith("TYPE_")]
        expect(not odd, f"a data_type is {odd and odd[0].get('data_type')!r}")


@check(HTTP, "statistics", extension="statistics")
def statistics(t: Target) -> None:
    """Statistics count what is answered."""

    def count() -> int:
        (row,) = counted(t.get(f"{t.named.path}/stats"), t)
        return int(row["inference_stats"]["success"]["count"])

    before = count()
    t.infer(t.small()[0])
    expect(count() > before, "an answer is not counted")
    rows = counted(t.get("v2/models/stats"), t)
    expect(t.named.name in {row["name"] for row in rows}, "v2/models/stats lacks the model")


def counted(told: Any, t: Target) -> list[dict[str, Any]]:
    """The rows of statistics; raises Differs where they are not as clients read them."""
    rows = told.get("model_stats") if isinstance(told, dict) else None
    expect(isinstance(rows, list) and rows, "model_stats is no list of models")
    found: list[dict[str, Any]] = list(rows or ())
    for row in found:
        missing = {"name", "version", "inference_stats"} - set(row)
        expect(not missing, f"a row lacks {sorted(missing)}")
        kinds = {"success", "fail", "queue", "compute_input", "compute_infer", "compute_output"}
        missing = kinds - set(row["inference_stats"])
        expect(not missing, f"inference_stats lacks {sorted(missing)}")
    return found


@check(HTTP, "parameters")
def parameters(t: Target) -> None:
    """Parameters of a request are taken: priority, timeout, and of the client's own."""
    if not {"parameters", "schedule_policy"} & set(t.extensions):
        raise NotOffered("the server's metadata lists neither parameters nor schedule_policy")
    tensors, wanted = t.small()
    if "schedule_policy" in t.extensions:
        same(t.infer(tensors, parameters={"priority": 1, "timeout": 20_000_000})[1], wanted, "the answer")
    if "parameters" in t.extensions:
        own = {"conform_text": "x", "conform_flag": True, "conform_number": 7}
        same(t.infer(tensors, parameters=own)[1], wanted, "the answer")


@check(HTTP, "sequences", extension="sequence")
def sequence(t: Target) -> None:
    """A sequence of requests is answered."""
    tensors, _ = t.small()
    for start, end in ((True, False), (False, False), (False, True)):
        t.infer(tensors, parameters={"sequence_id": 7, "sequence_start": start, "sequence_end": end})


def _settings(t: Target, path: str) -> None:
    """Read settings, and set one to what it is."""
    told = t.get(path)
    expect(isinstance(told, dict) and told, "there are no settings")
    name = next(iter(told))
    expect(t.http.ask("POST", path, {name: told[name]}).ok() == told, f"to set {name} to what it is changes something")
    t.http.ask("POST", path, {"conform-nothing": "x"}).refused(400)


@check(HTTP, "logging", extension="logging")
def logging(t: Target) -> None:
    """Settings of the log are told, set, and refused where there is none."""
    _settings(t, "v2/logging")


@check(HTTP, "trace", extension="trace")
def trace(t: Target) -> None:
    """Settings of tracing are told, set, and refused where there is none."""
    _settings(t, "v2/trace/setting")
    t.get(f"{t.named.path}/trace/setting")


@check(HTTP, "generate", extension="generate")
def generate(t: Target) -> None:
    """A prompt is answered, or refused with an error."""
    answer = t.http.ask("POST", f"{t.named.path}/generate", {"text_input": "1"})
    if answer.status != 200:
        answer.refused(400, 404)
    else:
        expect(isinstance(answer.ok(), dict), "the answer is no object")


MEMORY = "v2/systemsharedmemory"


@check(HTTP, "shared memory, trap 13", extension="system_shared_memory")
def shared_memory_refused(t: Target) -> None:
    """Regions that there are not are refused, and none is listed."""
    expect(isinstance(t.get(f"{MEMORY}/status"), list), "the status is no list")
    for key in ("/conform-nothing", "/../etc/passwd", "../../etc/passwd", "/etc/passwd"):
        region = {"key": key, "offset": 0, "byte_size": 8}
        t.http.ask("POST", f"{MEMORY}/region/conform/register", region).refused(400, 404)


@check(HTTP, "shared memory, trap 2", extension="system_shared_memory")
def shared_memory(t: Target) -> None:
    """Inputs are read from shared memory, and outputs written to it."""
    tensors, wanted = t.small()
    sizes = [len(one.content) for one in (*tensors, *wanted.values())]
    with Region(t.http.host, sum(sizes)) as region:
        asked = {"key": region.key, "offset": 0, "byte_size": sum(sizes)}
        t.http.ask("POST", f"{MEMORY}/region/conform/register", asked).ok()
        try:
            _by_region(t, region, tensors, wanted)
        finally:
            t.http.ask("POST", f"{MEMORY}/region/conform/unregister").ok()


def _by_region(t: Target, region: Region, tensors: list[Tensor], wanted: dict[str, Tensor]) -> None:
    place = 0

    def named(one: Tensor) -> dict[str, Any]:
        nonlocal place
        size = len(one.content)
        made = {"shared_memory_region": "conform", "shared_memory_offset": place, "shared_memory_byte_size": size}
        place += size
        return made

    inputs = []
    for one in tensors:
        region.write(place, one.content)
        inputs.append({**one.described(), "parameters": named(one)})
    begin = place
    outputs = [{"name": one.name, "parameters": named(one)} for one in wanted.values()]
    told = t.http.ask("POST", f"{t.named.path}/infer", {"inputs": inputs, "outputs": outputs}).ok()
    for one, said in zip(wanted.values(), told["outputs"], strict=True):
        expect("data" not in said, f"'{one.name}' comes in the answer too")
        found = region.read(begin, len(one.content))
        expect(found == one.content, f"the region has other values for '{one.name}'")
        begin += len(one.content)


@check(HTTP, "shared memory", extension="cuda_shared_memory")
def cuda_shared_memory(t: Target) -> None:
    """The regions of a GPU are listed."""
    expect(isinstance(t.get("v2/cudasharedmemory/status"), list), "the status is no list")
