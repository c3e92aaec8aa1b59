"""What libraries say to their own developers is held back, and everything is as it was afterwards."""

from __future__ import annotations

import ctypes
import logging
import sys
import warnings

import pytest

from torchport.system.noise import LEAF_SPEC, quiet, redirected


def test_named_warnings_are_held_back_and_others_pass() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with quiet(LEAF_SPEC):
            warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated, use another", FutureWarning, stacklevel=1)
            warnings.warn("something else", FutureWarning, stacklevel=1)
        with quiet():
            warnings.warn("anything", DeprecationWarning, stacklevel=1)
    assert [str(one.message) for one in caught] == ["something else"]


def test_logging_and_printing_come_back_even_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    logger, root = logging.getLogger("a.library"), logging.getLogger()
    before = (logger.level, root.manager.disable, list(root.handlers), list(warnings.filters))
    with pytest.raises(KeyError), quiet(loggers=("a.library",), below=logging.WARNING, printed=True):
        print("to nobody")
        print("to nobody", file=sys.stderr)
        assert not logger.isEnabledFor(logging.ERROR) and not root.isEnabledFor(logging.WARNING)
        raise KeyError
    assert (logger.level, root.manager.disable, list(root.handlers), list(warnings.filters)) == before
    assert capsys.readouterr() == ("", "")


def test_what_the_c_library_holds_back_goes_where_it_was_printed(capfd: pytest.CaptureFixture[str]) -> None:
    native = ctypes.CDLL(None)
    native.printf(b"before ")
    with redirected(None):
        native.printf(b"in between ")
    native.printf(b"after")
    native.fflush(None)
    assert capfd.readouterr().out == "before after"
