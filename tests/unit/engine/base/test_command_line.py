"""engine.base.command_line: one command made of what others registered, and how it ends."""

from __future__ import annotations

import sys

import click
import pytest

from engine.base.command_line import DURATION, LISTEN, RATE, expected_errors, main
from engine.model.errors import SpoolLockedError

COMMANDS = """\
import click
from engine.base.command_line import expected_errors
from engine.model.errors import SpoolLockedError

class PolicyError(Exception):
    pass

@click.command()
@click.option("--number", type=int, default=0)
def good(number):
    \"\"\"Do what is asked.\"\"\"
    click.echo(f"did {number}")

@click.command()
def answer():
    return 1

@click.command()
def locked():
    raise SpoolLockedError("another process\\nowns the spool")

@click.command()
@expected_errors(PolicyError)
def refused():
    raise PolicyError("policy.py:3: no such name")

@click.command()
def defect():
    {}["key"]

@click.command()
def interrupted():
    raise KeyboardInterrupt

@click.command()
def hostile():
    raise click.ClickException("there is: \\x1b[2J\\x9b2J\\nnext")

not_a_command = 42
"""


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Return a function that registers commands the way an installed distribution does."""
    monkeypatch.delenv("CIRRUS_TRACEBACK", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "commands_of_test.py").write_text(COMMANDS)

    def add(distribution: str = "of_test", **entries: str) -> None:
        info = tmp_path / f"{distribution}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[cirrus.commands]", *lines]) + "\n")

    yield add
    sys.modules.pop("commands_of_test", None)


def run(capsys, *arguments):
    """Return exit status, standard output and standard error."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_a_registered_command_runs(register, capsys):
    register(good="commands_of_test:good")

    assert run(capsys, "good", "--number", "7") == (0, "did 7\n", "")


def test_the_help_lists_every_command_with_its_first_line(register, capsys):
    register(good="commands_of_test:good", answer="commands_of_test:answer")

    status, out, _ = run(capsys, "--help")

    assert status == 0
    assert "Do what is asked." in out
    assert "answer" in out
    assert "Exit status" in out


def test_a_broken_command_is_named_and_the_others_stay(register, capsys):
    register(good="commands_of_test:good", bad="no_such_module:run")

    status, out, _ = run(capsys, "--help")

    assert status == 0
    assert "Do what is asked." in out
    assert "BROKEN" in out
    assert run(capsys, "good")[0] == 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module:run", "No module named"),
        ("commands_of_test:nothing", "nothing"),
        ("commands_of_test:not_a_command", "not a click command"),
    ],
)
def test_a_broken_command_says_why_when_it_is_called(register, capsys, value, reason):
    register(bad=value)

    for arguments in (["bad"], ["bad", "--help"], ["bad", "--listen", "x", "y"]):
        status, out, err = run(capsys, *arguments)

        assert (status, out) == (1, "")
        assert err.startswith("cirrus: the command 'bad' is broken: ")
        assert reason in err


def test_a_name_registered_by_two_programs_is_broken_not_chosen_by_chance(register, capsys):
    register("one", good="commands_of_test:good")
    register("two", good="commands_of_test:answer")

    status, _, err = run(capsys, "good")

    assert status == 1
    assert "commands_of_test:answer and commands_of_test:good" in err


def test_an_integer_result_is_the_exit_status(register, capsys):
    register(answer="commands_of_test:answer")

    assert run(capsys, "answer") == (1, "", "")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("locked", "cirrus: another process owns the spool\n"),
        ("refused", "cirrus: policy.py:3: no such name\n"),
        ("interrupted", "cirrus: interrupted\n"),
        ("hostile", "cirrus: there is: \\x1b[2J\\x9b2J\nnext\n"),
        (
            "defect",
            "cirrus: a defect in the program: KeyError: 'key' "
            "(set CIRRUS_TRACEBACK=1 to see where)\n",
        ),
    ],
)
def test_an_error_ends_as_one_line(register, capsys, name, line):
    register(**{name: f"commands_of_test:{name}"})

    status, out, err = run(capsys, name)

    assert (status, out, err.lstrip("\n")) == (1, "", line)


def test_the_traceback_is_there_for_who_asks(register, monkeypatch):
    register(defect="commands_of_test:defect")
    monkeypatch.setenv("CIRRUS_TRACEBACK", "1")

    with pytest.raises(KeyError):
        main(["defect"])


@pytest.mark.parametrize(
    "arguments", [["good", "--number", "x"], ["good", "--nothing"], ["nothing"], []]
)
def test_wrong_usage_ends_with_2_and_says_where_help_is(register, capsys, arguments):
    register(good="commands_of_test:good")

    status, out, err = run(capsys, *arguments)

    assert (status, out) == (2, "")
    assert err.startswith("Usage: cirrus")
    assert "--help" in err


def test_the_version_is_printed(capsys):
    status, out, _ = run(capsys, "--version")

    assert status == 0
    assert out.startswith("Cirrus ")


def test_an_expected_error_keeps_its_cause():
    @expected_errors(SpoolLockedError)
    def command():
        raise SpoolLockedError("taken")

    with pytest.raises(click.ClickException, match="taken") as caught:
        command()

    assert isinstance(caught.value.__cause__, SpoolLockedError)


def converted(kind, text):
    return kind.convert(text, None, None)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (DURATION, "20m", 1200.0),
        (DURATION, "1.5", 1.5),
        (LISTEN, "127.0.0.1:25", ("127.0.0.1", 25)),
        (LISTEN, "[::1]:0", ("::1", 0)),
        (RATE, "120/min", 2.0),
        (RATE, "50", 50.0),
    ],
)
def test_an_option_is_read_into_its_unit(kind, text, value):
    assert converted(kind, text) == value
    assert kind.convert(value, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DURATION, "soon"),
        (DURATION, "-5"),
        (DURATION, "nan"),
        (LISTEN, "25"),
        (LISTEN, "127.0.0.1:99999"),
        (RATE, "fast"),
        (RATE, "0"),
    ],
)
def test_an_option_that_cannot_be_read_is_wrong_usage(kind, text):
    with pytest.raises(click.UsageError):
        converted(kind, text)
