"""Two nodes never share a spool: the second one says why it does not start, in one line."""

from __future__ import annotations

import pytest

from tests.fakes.node_process import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def test_the_second_is_refused_with_one_line_and_the_first_is_not_disturbed(
    make_node, sink, tmp_path
):
    first = make_node()
    (tmp_path / "second").mkdir()
    second = make_node(folder=tmp_path / "second")
    text = second.policy.read_text()
    second.policy.write_text(text.replace(str(second.spool), str(first.spool)))

    first.start()
    status = second.launch().wait(15)
    first.send("still here")
    wait_until("it", lambda: sink.taken)
    process_id = first.process.pid
    assert first.stop() == 0

    lines = second.log_text().splitlines()
    assert status == 1
    assert [line for line in lines if "INFO" not in line] == lines[-1:]
    assert "is in use by process" in lines[-1]
    assert str(first.spool) in lines[-1]
    assert str(process_id) in lines[-1]
    assert "Traceback" not in second.log_text()


def test_the_folder_is_free_again_after_a_kill(make_node, sink, tmp_path):
    first = make_node()
    first.start()
    first.kill()

    second = make_node(folder=tmp_path)
    with second.running():
        second.send("it works")
        wait_until("it", lambda: sink.taken)
