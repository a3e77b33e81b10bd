"""What docs/shaping.md shows works as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil

import pytest
from click.testing import CliRunner

from engine.base.shaping_source import parse_shaping
from engine.model.shaping_finding import CHECK_OPTIONS
from engine.model.shaping_merge import SiteRoute, merge_layers
from engine.model.shaping_section import PROVIDER_OPTIONS
from engine.tools.check import check
from tests.samples.running_node import ROOT
from tsa.__main__ import tsa

PAGE = (ROOT / "docs" / "shaping.md").read_text()
OWN, BAD = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
SAID, EXPLAINED = re.findall(
    r"```\n(.*?)```\n", re.sub(r"```toml\n.*?```\n", "", PAGE, flags=re.S), re.S
)
COMMANDS = re.findall(r"^    cirrus (.*)$", PAGE, re.MULTILINE)
ZONE = """\
$ORIGIN example.
@ 60 IN SOA ns hostmaster 1 60 60 60 60
small 60 IN MX 10 mx.small
mx.small 60 IN A 192.0.2.3
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs a command line in a folder with the files of the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    shutil.copy(ROOT / "samples" / "shaping" / "base.toml", "base.toml")
    for name, text in (("own.toml", OWN), ("bad.toml", BAD), ("example.zone", ZONE)):
        (tmp_path / name).write_text(text)
    (tmp_path / "log").mkdir()

    def run(line):
        program, *arguments = shlex.split(line.replace("/var/log/cirrus", "log"))
        if "--zone" not in arguments:
            arguments += ["--zone", "example.zone"]
        return CliRunner().invoke({"check": check, "tsa": tsa}[program], arguments)

    return run


def shown_cells(text):
    """Return what stands in a table or in columns, line by line, without its drawing."""
    lines = (re.split(r"\s{2,}", re.sub(r"[│┃]", "  ", line).strip()) for line in text.splitlines())
    return [cells for cells in lines if cells[0] and not re.search(r"[━─]", cells[0])]


def test_the_page_shows_these_commands():
    assert [line.split(" --")[0] for line in COMMANDS] == [
        "check",
        "tsa explain small.example",
        "tsa replay",
    ]


def test_the_check_finds_nothing_in_the_files(run):
    result = run(COMMANDS[0])

    assert (result.output, result.exit_code) == ("no errors\n", 0)


def test_the_check_finds_what_the_page_says(run):
    result = run("check --shaping bad.toml")

    assert result.output == SAID + "2 errors\n"
    assert result.exit_code == 1


def test_explain_prints_what_the_page_says(run):
    result = run(COMMANDS[1])

    cells = [
        one
        for one in shown_cells(result.output)
        if one[0] not in ("option", "Options of the egress path")
    ]
    assert cells == shown_cells(EXPLAINED)


def test_replay_reads_the_files(run, tmp_path):
    (tmp_path / "log" / "records").write_text('{"type": "Delivery", "timestamp": 1800000000}\n')

    result = run(COMMANDS[2])

    assert result.exit_code == 0, result.output
    assert "0 decisions" in result.output


def routes():
    return {"small.example": SiteRoute("mx.small.example", ("mx.small.example",))}


def resolve(*texts, domain="small.example", source="ip-1", hosts=("mx.small.example",)):
    layers = [parse_shaping(text.encode(), f"{n}.toml") for n, text in enumerate(texts)]
    shaping, findings = merge_layers(layers, routes(), CHECK_OPTIONS)
    assert [str(one) for one in findings if one.severity == "error"] == []
    return shaping.resolve(domain, source, hosts[0], hosts).options()


ORDER = [
    "[default]\nmax_ready = 1\n",
    '[default.sources."ip-1"]\nmax_ready = 2\n',
    '[provider.a]\nmatch = [{ HostName = "mx.small.example" }]\nmax_ready = 3\n',
    '[provider.a.sources."ip-1"]\nmax_ready = 4\n',
    '["small.example"]\nmax_ready = 6\n',
    '["small.example"]\nmx_rollup = false\nmax_ready = 7\n',
    '["small.example".sources."ip-1"]\nmax_ready = 8\n',
    '["small.example"]\nmx_rollup = false\n["small.example".sources."ip-1"]\nmax_ready = 9\n',
]


@pytest.mark.parametrize("count", range(1, len(ORDER) + 1))
def test_the_order_of_a_path_is_the_one_of_the_list(count):
    # In whatever order the layers stand: what counts is what a section is for.
    for texts in (ORDER[:count], ORDER[:count][::-1]):
        expected = int(re.search(r"max_ready = (\d)", ORDER[count - 1])[1])
        assert resolve(*texts)["max_ready"] == expected


def test_replace_base_keeps_default_and_providers_out():
    replaced = '["small.example"]\nreplace_base = true\nidle_timeout = 5\n'

    assert resolve(*ORDER[:4], replaced) == {"idle_timeout": 5}


def test_named_limits_merge_and_the_other_tables_do_not():
    first = "[default]\nadditional_connection_limits = { a = 1 }\nskip_hosts = ['192.0.2.1']\n"
    second = "[default]\nadditional_connection_limits = { b = 2 }\nskip_hosts = ['192.0.2.2']\n"

    assert resolve(first, second) == {
        "additional_connection_limits": {"a": 1, "b": 2},
        "skip_hosts": ["192.0.2.2"],
    }


def test_shared_limits_have_the_names_of_the_page():
    settings = "".join(
        f'{name} = "{7 if "limit" in name else "7/s"}"\n' for name in PROVIDER_OPTIONS
    )
    provider = f'[provider.NAME]\nmatch = [{{ MXSuffix = ".small.example" }}]\n{settings}'

    found = resolve(provider, source="SOURCE")

    table = re.findall(r"^\| `(provider_\w+)` \| `(\w+)` \| `([\w-]+)` \|$", PAGE, re.MULTILINE)
    assert [name for name, _, _ in table] == list(PROVIDER_OPTIONS)
    for _, option, name in table:
        assert list(found[option]) == [name]


def test_a_url_that_says_something_wrong_does_no_harm():
    own = parse_shaping(b"[default]\nmax_ready = 5\n", "own.toml")
    remote = parse_shaping(b"[default]\nmax_ready = 'x'\n", "https://x.test", is_remote=True)

    shaping, findings = merge_layers([own, remote], {}, CHECK_OPTIONS)

    assert shaping.resolve("a.example", "ip-1", "a").options() == {"max_ready": 5}
    assert [one.severity for one in findings] == ["warning"]


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    headings = re.findall(r"^## (.*)$", (ROOT / "docs" / "tsa.md").read_text(), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"tsa\.md#([\w-]+)", PAGE)) <= anchors
