"""A forked child: it works on what its parent made, and frees none of it."""

from __future__ import annotations

import gc
import os
import threading

from torchport.system import isolate


class Waits:
    """Its destructor waits for a thread, as that of a video library's context does; a child has no such thread."""

    def __init__(self) -> None:
        self.itself = self
        self.asked, self.answered = threading.Event(), threading.Event()
        threading.Thread(target=self.answer, args=(self.asked, self.answered), daemon=True).start()

    @staticmethod
    def answer(asked: threading.Event, answered: threading.Event) -> None:
        asked.wait()
        answered.set()

    def __del__(self) -> None:
        self.asked.set()
        self.answered.wait()


def collect() -> int:
    gc.collect()
    return os.getpid()


def test_a_child_leaves_its_parents_garbage_alone():
    gc.collect()
    gc.disable()  # so that it is not collected before the fork
    Waits()
    try:
        assert isolate.call(collect, limit_s=20) != os.getpid()
    finally:
        gc.enable()
        gc.collect()


def test_a_child_collects_its_own():
    def count() -> tuple[bool, int]:
        class Cycle:
            alive = 0

            def __init__(self) -> None:
                self.itself = self
                Cycle.alive += 1

            def __del__(self) -> None:
                Cycle.alive -= 1

        for _ in range(10):
            Cycle()
        gc.collect()
        return gc.isenabled(), Cycle.alive

    assert isolate.call(count) == (True, 0)
