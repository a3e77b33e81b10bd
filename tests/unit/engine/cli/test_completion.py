"""Completion in a shell: its script, and what it is answered."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner

from engine.cli.completion import COMPLETE_VARIABLE, SHELLS, completion, completion_script
from tests.fakes.tool_process import ROOT


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_a_script_that_asks_cirrus(shell):
    result = CliRunner().invoke(completion, [shell])

    assert result.exit_code == 0
    assert COMPLETE_VARIABLE in result.stdout
    assert "cirrus" in result.stdout


def test_another_shell_is_wrong_usage():
    assert CliRunner().invoke(completion, ["csh"]).exit_code == 2


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_that_the_shell_understands(shell):
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell} here")
    done = subprocess.run(
        [path, "-n"], input=completion_script(shell), text=True, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, "")


#: Says what it was asked, and answers with two names.
ANSWERING = """\
#!/bin/sh
echo "$COMP_WORDS|$COMP_CWORD" > "$0.asked"
printf 'plain,acme@a.test!b.test\\nplain,ip-1->mx.a@smtp_client\\n'
"""


@pytest.mark.parametrize(
    ("line", "words", "asked", "answers"),
    [
        (
            "cirrus why ",
            ["cirrus", "why", ""],
            "cirrus why |2",
            ["acme@a.test\\!b.test", "ip-1-\\>mx.a@smtp_client"],
        ),
        # As bash parts a word with these signs.
        (
            "cirrus why acme@a",
            ["cirrus", "why", "acme", "@", "a"],
            "cirrus why acme@a|2",
            ["a.test\\!b.test", "ip-1-\\>mx.a@smtp_client"],
        ),
        (
            "cirrus why  acme@",
            ["cirrus", "why", "acme", "@"],
            "cirrus why acme@|2",
            ["a.test\\!b.test", "ip-1-\\>mx.a@smtp_client"],
        ),
        (
            "cirrus why ip-1-\\>mx",
            ["cirrus", "why", "ip-1-\\>mx"],
            "cirrus why ip-1-\\>mx|2",
            ["acme@a.test\\!b.test", "ip-1-\\>mx.a@smtp_client"],
        ),
        (
            "cirrus why 'ip-1->",
            ["cirrus", "why", "'ip-1->"],
            "cirrus why 'ip-1->|2",
            ["acme@a.test!b.test", "ip-1->mx.a@smtp_client"],
        ),
    ],
)
def test_names_with_signs_of_the_shell_are_put_together_and_escaped(
    tmp_path, line, words, asked, answers
):
    program = tmp_path / "cirrus"
    program.write_text(ANSWERING)
    program.chmod(0o755)
    code = (
        f"{completion_script('bash')}\n"
        'COMP_LINE=$2; shift 2; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
        f'_cirrus_completion {program}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(
        ["bash", "-c", code, "bash", "-", line, *words], text=True, capture_output=True
    )

    assert done.stderr == ""
    assert (tmp_path / "cirrus.asked").read_text() == f"{asked}\n"
    assert done.stdout.splitlines() == answers


@pytest.mark.parametrize(
    ("word", "answers"),
    [
        ("", ["\\$\\(id\\)", "a\\'\\;id\\;\\'", "b"]),
        ('"', ["a';id;'", "b"]),
        ("'", ["$(id)", "b"]),
    ],
)
def test_no_name_that_a_sender_chose_is_a_command_of_the_shell(tmp_path, word, answers):
    program = tmp_path / "cirrus"
    program.write_text("#!/bin/sh\nprintf \"plain,%s\\n\" '$(id)' \"a';id;'\" b\n")
    program.chmod(0o755)
    code = (
        f"{completion_script('bash')}\n"
        'COMP_LINE="cirrus why $2"; COMP_WORDS=(cirrus why "$2"); COMP_CWORD=2\n'
        f'_cirrus_completion {program}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", code, "bash", "-", word], text=True, capture_output=True)

    assert (done.stderr, done.stdout.splitlines()) == ("", answers)


def ask(words: str, number: int, **environment: str) -> list[str]:
    """Return what a shell is offered in place of a word."""
    done = subprocess.run(
        [sys.executable, "-c", "from engine.base.command_line import main; main()"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            COMPLETE_VARIABLE: "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(number),
            **environment,
        },
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.real_time
def test_commands_and_options_are_offered():
    assert ask("cirrus suspend-s", 1) == [
        "suspend-source",
        "suspend-source-cancel",
        "suspend-source-list",
    ]
    assert "--recipient" in ask("cirrus messages --re", 2)


class _Queues(BaseHTTPRequestHandler):
    """Answers with one queue, whatever is asked."""

    def do_GET(self) -> None:
        answer = {"scheduled": [{"queue_name": "acme@a.test"}], "ready": []}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.mark.real_time
def test_live_names_of_the_node_are_offered():
    server = HTTPServer(("127.0.0.1", 0), _Queues)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        assert ask("cirrus why ac", 2, CIRRUS_ENDPOINT=endpoint) == ["acme@a.test"]
        option = f"cirrus bounce --endpoint {endpoint} --tenant ac"
        assert ask(option, 5) == ["acme"]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.real_time
def test_a_node_that_is_away_offers_nothing_and_says_nothing():
    assert ask("cirrus why ac", 2, CIRRUS_ENDPOINT="http://127.0.0.1:1") == []


def test_the_list_of_commands_loads_none_of_them():
    code = (
        "import sys\n"
        "from engine.base.command_line import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "names = ('engine.app', 'aiohttp', 'engine.cli.verb', 'rich')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Act on mail:" in done.stdout


def test_the_help_of_a_verb_loads_neither_the_engine_nor_what_speaks_http():
    code = (
        "import sys\n"
        "from engine.base.command_line import main\n"
        "try:\n    main(['queues', '--help'])\nexcept SystemExit:\n    pass\n"
        "names = ('engine.app', 'engine.admin', 'engine.schedule', 'aiohttp')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "[]"
