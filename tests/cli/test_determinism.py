"""A Bundle is the same wherever it is made, and tells nothing of where that was, by whom, and on which data."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import torchport
from safetensors.numpy import load_file

from torchport.bundle import Bundle, Manifest
from torchport.errors import MissingDependency
from torchport.targets import targets

NOT_GRAPHS = ("evidence", "files", "chosen", "chosen_for", "front")
"""What is measured, or follows from it; of files, the report and the README follow from it too."""


@pytest.fixture(scope="module")
def pair(place: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same network deployed to every target, from two folders, in working folders of their own."""
    made = []
    for parent, inside in (("erste-werkstatt", "."), ("second/atelier", "..")):
        folder = tmp_path_factory.mktemp("where") / parent
        folder.mkdir(parents=True)
        for name in ("net.py", "x.safetensors"):
            shutil.copyfile(place / name, folder / name)
        cwd = (folder / inside).resolve()
        near = folder.relative_to(cwd)
        ran = torchport(
            "deploy",
            f"{near / 'net.py'}:Net",
            "--data",
            folder / "x.safetensors",
            "--keep",
            "all",
            "-o",
            near / "net.tport",
            cwd=cwd,
            fresh=True,  # with a seed of its own for hashes
        )
        assert ran.code == 0, ran.err
        made.append(folder / "net.tport")
    return made[0], made[1]


def read(bundle: Path) -> Manifest:
    with Bundle(bundle) as opened:
        opened.check_all()
        return opened.manifest


def compare(first: Path, second: Path) -> None:
    """Same graphs, by each target's own fingerprint; same manifest but for what was measured."""
    one, two = read(first), read(second)
    assert [v.id for v in one.variants] == [v.id for v in two.variants]
    places = [(f"variants/{v.id}", v.artifact) for v in one.variants]
    if one.reference is not None:
        places.append(("reference", one.reference))
    for place, artifact in places:
        target = targets.get(artifact.target)
        for name in sorted({name for graph in artifact.graphs.values() for name in graph.files}):
            assert target.fingerprint(first / place / name) == target.fingerprint(second / place / name), (
                f"{place}/{name}"
            )
    assert stable(first) == stable(second)
    same = {
        path
        for path in contents(first)
        if not path.startswith(("variants/", "reference/", "torchport.json", "report.html", "README.md"))
    }
    assert same and all((first / path).read_bytes() == (second / path).read_bytes() for path in same)


def stable(bundle: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((bundle / "torchport.json").read_bytes())
    for variant in document["variants"]:
        del variant["threads"]
    return {key: value for key, value in document.items() if key not in NOT_GRAPHS}


def contents(bundle: Path) -> list[str]:
    return sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file())


def pieces(path: Path) -> Iterator[tuple[str, bytes]]:
    """A file's bytes, and those of every member where it is an archive."""
    raw = path.read_bytes()
    yield path.name, raw
    if zipfile.is_zipfile(io.BytesIO(raw)):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for name in archive.namelist():
                yield f"{path.name}:{name}", archive.read(name)


def search(bundle: Path, secrets: dict[str, bytes], rows: np.ndarray) -> None:
    """No secret anywhere; no three neighbours of the example data outside the golden vectors."""
    data = [
        row[i : i + 3].tobytes()
        for row in rows.reshape(len(rows), -1).astype(np.float32)
        for i in range(0, min(row.size, 60) - 2, 3)
    ]
    for path in contents(bundle):
        for name, raw in pieces(bundle / path):
            for what, secret in secrets.items():
                assert secret not in raw, f"{path} ({name}) holds {what}"
            if not path.startswith("golden/"):
                assert not any(value in raw for value in data), f"{path} ({name}) holds example data"


def personal(*folders: Path) -> dict[str, bytes]:
    """What only this machine knows: the user's folders, home, temporary files, checkout and packages."""
    import sysconfig
    import tempfile

    known: dict[str, bytes] = {}
    known |= {f"the folder {folder.name}": folder.name.encode() for folder in folders}
    known |= {
        "the packages' folder": sysconfig.get_paths()["purelib"].encode(),
        "the checkout": str(Path(__file__).parents[2]).encode(),
    }
    known |= {
        "the temporary folder": tempfile.gettempdir().encode() + b"/",
        "the home folder": str(Path.home()).encode() + b"/",
    }
    return known


def test_every_target_of_this_machine_is_in(pair: tuple[Path, Path]) -> None:
    works = {
        name
        for name in targets.names()
        if not (target := targets.get(name)).reference
        and target.automatic
        and target.available(build=True).status == "ok"
    }
    assert {variant.artifact.target for variant in read(pair[0]).variants} == works


def test_the_same_source_gives_the_same_graphs_and_manifest(pair: tuple[Path, Path]) -> None:
    compare(*pair)


@pytest.mark.parametrize("which", [0, 1])
def test_nothing_tells_of_the_maker_or_the_data(pair: tuple[Path, Path], which: int) -> None:
    bundle = pair[which]
    rows = load_file(bundle.parent / "x.safetensors")["x"]
    search(bundle, {**personal(bundle.parent), "a folder": b"werkstatt", "another folder": b"atelier"}, rows)
    golden = b"".join(path.read_bytes() for path in (bundle / "golden").iterdir())
    assert rows[0, :2].tobytes() in golden  # what is searched for would be found


@pytest.mark.long
def test_a_real_network_too(tmp_path: Path) -> None:
    from torchport.jobs import demo

    try:
        photos = sorted(demo.photos().glob(demo.PHOTOS))[:2]
    except MissingDependency as exc:
        pytest.skip(str(exc))
    made = []
    settings = [
        word
        for key, value in demo.SETTINGS.items()
        for word in ("--set", f"{key}={json.dumps(value) if not isinstance(value, str) else value}")
    ]
    for parent, env in (
        ("erste-werkstatt", {}),
        ("second-atelier", {"TORCHPORT_CACHE": "off"}),
    ):  # what was kept is what is made anew
        folder = tmp_path / parent
        (folder / "photos").mkdir(parents=True)
        for photo in photos:
            shutil.copyfile(photo, folder / "photos" / photo.name)
        options = (
            "--task",
            "image-classification",
            *settings,
            "--targets",
            "onnx,openvino,pt2",
            "--recipes",
            "fp32",
            "--golden",
            "1",
            "--keep",
            "all",
        )
        ran = torchport(
            "deploy",
            "torchport.jobs.demo:efficientnet_lite0",
            *options,
            "--data",
            "photos",
            "-o",
            "net.tport",
            cwd=folder,
            env=env,
            fresh=True,
        )
        assert ran.code == 0, ran.err
        made.append(folder / "net.tport")
    compare(*made)
    pixels = load_file(made[0] / "golden/fp32.safetensors")["0/pixels"]
    search(made[0], personal(made[0].parent), pixels[0, :, 100, :].copy())
