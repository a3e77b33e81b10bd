"""The page of the HTTP API: nothing on it is without a word of what it is."""

from __future__ import annotations

import re

from tests.architecture.shape import ROOT
from tests.architecture.test_documents import load_generator

PAGE = ROOT / "docs" / "reference" / "http-api.md"


def document():
    # Loaded by what makes the page, so that its folder is known.
    load_generator()
    from api_reference import describe_node

    return describe_node()


def test_each_field_says_what_it_is():
    described = document()
    fields = {
        f"{name}.{field}": schema
        for name, component in described["components"]["schemas"].items()
        for field, schema in component.get("properties", {}).items()
    }
    parameters = {
        f"{method} {path} ?{one['name']}": one
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        for one in operation.get("parameters", ())
    }
    assert [name for name, one in (fields | parameters).items() if not one.get("description")] == []


def test_nothing_that_is_referred_to_is_missing():
    described = document()
    known = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    assert set(re.findall(r"'\$ref': '([^']*)'", repr(described))) <= known


def test_links_of_the_page_lead_to_its_headings():
    text = PAGE.read_text()
    headings = {heading.lower() for heading in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= headings
