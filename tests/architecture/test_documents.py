"""Pages made from the code are fresh, and those written by hand have their parts."""

from __future__ import annotations

import importlib.util
import re

import pytest

from engine.hooks import HOOKS
from proxy.hooks import HOOKS as PROXY_HOOKS
from tests.architecture.shape import ROOT
from tsa.hooks import HOOKS as DAEMON_HOOKS

DOCUMENTS = sorted((ROOT / "docs").rglob("*.md"))
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PAGES = ["README.md", "CONTRIBUTING.md", *(str(one.relative_to(ROOT)) for one in DOCUMENTS)]


def load_generator():
    path = ROOT / "scripts" / "make_reference.py"
    spec = importlib.util.spec_from_file_location("make_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_code_says():
    assert load_generator().find_stale() == [], "run: python scripts/make_reference.py"


def test_each_event_is_in_the_reference_with_its_meaning():
    hooks = (*HOOKS, *DAEMON_HOOKS, *PROXY_HOOKS)
    page = (ROOT / "docs" / "reference" / "hooks.md").read_text()
    assert [hook.name for hook in hooks if not hook.doc or f"\n{hook.doc}\n" not in page] == []


def test_the_changelog_has_a_place_for_what_comes():
    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## .*$", text, re.MULTILINE)
    assert headings[0] == "## Unreleased"


def test_decisions_are_numbered_without_a_gap():
    numbers = [int(path.name.partition("-")[0]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name)
def test_a_decision_says_why_what_follows_and_what_would_change_it(path):
    headings = re.findall(r"^## (.*)$", path.read_text(), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "What would change our mind"]


@pytest.mark.parametrize("name", PAGES)
def test_links_between_documents_lead_somewhere(name):
    page = ROOT / name
    targets = re.findall(r"\]\(([^)#]+)", page.read_text())
    dead = [
        target for target in targets if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []
