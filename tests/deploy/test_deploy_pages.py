"""docs/deploy/: commands are accepted, files are there, scripts pass the check, numbers agree."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.deploy.deployment import (
    DEPLOY,
    ROOT,
    findings_of,
    parse_command,
    read_yaml,
)

PAGES = sorted((ROOT / "docs" / "deploy").glob("*.md"))
INDEX = ROOT / "docs" / "deploy" / "README.md"
HEAD = "import mta\nfrom mta import on\n\n\n"


def command_lines():
    """Return the command lines of ours that the pages tell readers to type."""
    found = set()
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
        lines += re.findall(r"`([^`\n]+)`", text)
        for line in lines:
            match = re.match(r"(?:/opt/cirrus/bin/|docker run .* localhost/)?cirrus (\S.*)", line)
            if match:
                found.add((page.name, match[1].split("  #")[0]))
    return sorted(found)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, id=f"{name}: {line}")
        for name, line in command_lines()
        # Named in running text, without what it needs.
        if line not in ("drain", "check --policy")
    ],
)
def test_each_command_is_one_of_ours(line):
    assert line == "--version" or parse_command(shlex.split(line)) is not None


def test_there_are_commands_to_test():
    assert len(command_lines()) >= 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_file_that_is_named_is_there(page):
    named = re.findall(r"\b(?:deploy|samples|requirements)/[\w@./-]+[\w/]", page.read_text())

    assert [name for name in named if not list(ROOT.glob(name.rstrip("/")))] == []


def test_the_index_leads_to_every_page_and_every_page_is_of_the_index():
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", INDEX.read_text()))

    assert linked == {page.name for page in PAGES} - {INDEX.name}


@pytest.mark.slow
def test_the_script_for_several_nodes_passes_the_check(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "deploy" / "systemd.md").read_text()
    (script,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (tmp_path / "init.py").write_text(script)
    monkeypatch.setenv("CIRRUS_INSTANCE", "2")

    assert findings_of(tmp_path / "init.py") == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_each_line_that_shares_limits_passes_the_check(tmp_path, number):
    text = (ROOT / "docs" / "deploy" / "redis.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", text, re.S)
    line = lines.splitlines()[number]
    script = f'{HEAD}@on("init")\ndef init():\n    mta.define_spool(path="/x")\n    {line}\n'
    (tmp_path / "init.py").write_text(script)

    assert findings_of(tmp_path / "init.py") == []


def test_the_pages_say_what_the_files_do():
    systemd = (ROOT / "docs" / "deploy" / "systemd.md").read_text()
    kubernetes = (ROOT / "docs" / "deploy" / "kubernetes.md").read_text()
    node = (DEPLOY / "systemd" / "cirrus-node.service").read_text()
    (pods,) = re.findall(r"`(10\.\d+\.\d+\.\d+/\d+)`", kubernetes)

    assert "--drain 60\n" in node and "for 60 seconds (`--drain`)" in systemd
    for name in ("init.py", "tsa.py"):
        assert f'"{pods}"' in (DEPLOY / "kubernetes" / "etc" / name).read_text()
    policies = read_yaml(DEPLOY / "kubernetes" / "network-policy.yaml")
    assert "cirrus-sender=true" in kubernetes and "cirrus-sender" in str(policies)
    proxy = read_yaml(DEPLOY / "kubernetes" / "egress" / "proxy.yaml")
    assert "cirrus-egress=true" in kubernetes and "'cirrus-egress': 'true'" in str(proxy)
