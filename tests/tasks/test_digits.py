"""The task `image-recognition` with networks that were trained on digits."""

from __future__ import annotations

import pytest

import torchport


@pytest.mark.slow
@pytest.mark.parametrize("factory", ["embedder", pytest.param("reader", marks=pytest.mark.long)])
def test_digits_are_recognised_as_by_the_eager_network(factory, tmp_path, monkeypatch):
    import digits

    if factory == "reader":
        monkeypatch.delenv("TORCHPORT_QUICK")  # which reads nothing after the few steps of a quick run

    if factory == "embedder" and not digits.sheet():
        pytest.skip(
            "opencv-doc is not installed: scripts/system-packages installs it; scikit-learn's digits are too few to "
            "embed strangers by"
        )
    gallery_of = digits.gather(tmp_path / "gallery", digits.known()[:9, :10])
    settings = digits.TEXT if factory == "reader" else {**digits.PICTURE, "gallery": str(gallery_of)}
    data = (
        digits.lines(tmp_path / "lines", 30)
        if factory == "reader"
        else digits.gather(tmp_path / "probes", digits.unseen()[:9, :4])
    )
    outcome = torchport.deploy(
        getattr(digits, factory)(),
        tmp_path / "x.tport",
        task="image-recognition",
        data=data,
        settings=settings,
        targets=["onnx"],
        recipes=["fp32"],
    )
    (made,) = (row for row in outcome.choice.candidates if row.id == "onnx-fp32")
    assert (made.status, made.agreement) == ("chosen", 1)
    assert made.accuracy.value > 0.6
