"""`doctor BUNDLE`: what really runs of each variant, and what is not as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.command import torchport
from handmade import bundle, known
from torchport.jobs import probe
from torchport.targets.shared.survey import VariantFindings
from torchport.testing import FakeTarget
from torchport.testing.fake import FakeRunner

OLD = Path(__file__).parent / "data" / "schema4.tport"


class Mixing(FakeRunner):
    """Answers a batch with a part of the batch's mean in every item."""

    def _run(self, feed: Any) -> Any:
        answer = super()._run(feed)
        return {name: array + 0.1 * array.mean(0, keepdims=True) * (len(array) > 1) for name, array in answer.items()}


class MixingTarget(FakeTarget):
    name = "mixing"
    runner = Mixing


def test_each_variant_tells_what_runs_and_whether_a_batch_is_its_items(tmp_path: Path) -> None:
    good, bad = FakeTarget(), MixingTarget()
    with known(good, bad):
        rows = {row.id: row for row in probe.probe(bundle(tmp_path / "a.tport", (good, bad)))}
    assert {row.status for row in rows.values()} == {"ok"}
    assert rows["fake-fp32"].used["model"].library == "numpy" and rows["fake-fp32"].latency_ms
    assert not [line for line in rows["fake-fp32"].findings if "batch" in line]
    assert [line for line in rows["mixing-fp32"].findings if "answers a batch of 3 unlike its items" in line]


def test_what_cannot_be_opened_is_a_row_with_its_reason(tmp_path: Path) -> None:
    made = FakeTarget()
    with known(made):
        path = bundle(tmp_path / "a.tport", (made,))
    (row,) = probe.probe(path)
    assert (row.status, "not known here" in (row.reason or "")) == ("absent", True)


def test_a_quantised_variant_that_is_slower_than_its_floats_is_told() -> None:
    fast, slow = (
        VariantFindings(id=name, status="ok", latency_ms=ms) for name, ms in (("a-fp32", 1.0), ("a-int8", 2.0))
    )
    (line,) = probe._compared(slow, fast).findings
    assert "2 ms a call, and a-fp32 takes 1 ms" in line and "--variant a-fp32" in line
    assert probe._compared(fast, slow).findings == probe._compared(slow, None).findings == ()


def test_a_bundle_s_probe_is_in_doctor_s_document(tmp_path: Path) -> None:
    done = torchport("doctor", OLD, "--json", cwd=tmp_path)
    (row,) = done.out["variants"]
    assert (row["id"], row["status"]) == ("onnx-fp32", "ok")
    assert row["used"]["model"]["provider"] == "CPUExecutionProvider"
