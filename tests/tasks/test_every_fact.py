"""Facts: every one is explained, and what a user sets is used or refused."""

from __future__ import annotations

import pytest

from torchport.tasks import tasks


@pytest.mark.parametrize("name", tasks.names())
def test_every_fact_is_explained(name):
    task = tasks.get(name)
    assert set(task.about_facts) == set(task.defaults)
    assert task.at_predict | task.lowered_at_predict <= set(task.defaults)
    assert not task.at_predict & task.lowered_at_predict
    for fact, about in task.about_facts.items():
        assert about[0].isupper() or about.startswith(("true", "x, y")), (fact, about)
        assert about.endswith("."), (fact, about)
