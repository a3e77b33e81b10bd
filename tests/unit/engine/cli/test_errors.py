"""How a verb ends when it cannot do its work."""

from __future__ import annotations

import pytest

from engine.base.command_line import main
from engine.cli.errors import NodeAwayError, NodeRefusedError
from engine.cli.queues import queues


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (NodeRefusedError("the node answers 403: no", 403), "cirrus: the node answers 403: no\n"),
        (NodeAwayError("no answer of http://x"), "cirrus: no answer of http://x\n"),
    ],
)
def test_the_command_line_prints_one_line_and_ends_with_one(error, line, capsys, monkeypatch):
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(queues, "invoke", refuse)

    with pytest.raises(SystemExit) as ended:
        main(["queues"])

    assert (ended.value.code, capsys.readouterr()) == (1, ("", line))
