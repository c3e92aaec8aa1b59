"""The protocol's bytes: the compiled messages are those of the text, and tensors come back as they went."""

from __future__ import annotations

import gc
import subprocess
import weakref
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from served import CLIENTS

from torchport.errors import BadInput
from torchport.serve import protocol
from torchport.serve.datatypes import DATATYPES, datatype_of, from_bytes, objects, to_bytes

FOLDER = Path(protocol.__file__).parent


@pytest.mark.skipif(not CLIENTS.exists(), reason="needs the clients' environment: make .venv-clients/.stamp")
def test_the_compiled_messages_are_those_of_the_text(tmp_path: Path) -> None:
    made = tmp_path / "inference.binpb"
    command = [CLIENTS, "-m", "grpc_tools.protoc", f"-I{FOLDER}", f"--descriptor_set_out={made}", "inference.proto"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    read = descriptor_pb2.FileDescriptorSet.FromString
    assert read(made.read_bytes()) == read((FOLDER / "inference.binpb").read_bytes())


def test_classes_of_messages_are_held() -> None:
    """One that nobody held was freed while protobuf still used it, and the next collection ended the process."""
    held = weakref.ref(protocol.message("ModelReadyResponse"))
    gc.collect()
    assert held() is not None


@given(hnp.arrays(st.sampled_from(list(DATATYPES)), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)))
def test_numbers_come_back(array: np.ndarray) -> None:
    found = from_bytes("x", datatype_of(array), array.shape, to_bytes(array))
    np.testing.assert_array_equal(found, array, strict=True)


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_texts_come_back(values: list[bytes]) -> None:
    array = objects("x", [len(values)], values)
    assert from_bytes("x", "BYTES", [len(values)], to_bytes(array)).tolist() == values


@given(
    st.binary(max_size=64),
    st.sampled_from(["BYTES", "INT32", "BOOL", "FP16", "BF16", "FP128"]),
    st.lists(st.integers(-3, 1 << 40), max_size=4),
)
def test_bytes_that_are_no_tensor_are_refused_in_words(content: bytes, datatype: str, shape: list[int]) -> None:
    try:
        array = from_bytes("x", datatype, shape, content)
    except BadInput as exc:
        assert exc.message
    else:
        assert list(array.shape) == shape and datatype_of(array) == datatype
