"""Rules that turn header fields into metadata."""

from __future__ import annotations

import pytest

from engine.model.header_import import import_fields, make_rules

FIELDS = [("X-Tenant-Id", "t"), ("X-A", "1"), ("Subject", "s"), ("x-a", "2"), ("X-B_c", "3")]


@pytest.mark.parametrize(
    ("specs", "values", "removed"),
    [
        ([{"name": "X-A"}], {"x_a": "2"}, set()),
        ([{"name": "x-a", "match": "first"}], {"x_a": "1"}, set()),
        ([{"name": "X-A", "match": "all", "remove": True}], {"x_a": ["1", "2"]}, {"x-a"}),
        ([{"name": "X-None", "match": "all"}], {}, set()),
        ([{"name": "Subject", "target": "topic"}], {"topic": "s"}, set()),
        (
            [{"name": "x-*"}],
            {"x_tenant_id": "t", "x_a": "2", "x_b_c": "3"},
            set(),
        ),
        (
            [{"name": "X-A", "target": "a"}, {"name": "x-*", "remove": True}],
            {"a": "2", "x_tenant_id": "t", "x_b_c": "3"},
            {"x-tenant-id", "x-b_c"},
        ),
        ([{"name": "X-T*", "transform": "kebab_case"}], {"x-tenant-id": "t"}, set()),
        ([{"name": "X-T*", "transform": "camel_case"}], {"xTenantId": "t"}, set()),
        ([{"name": "X-T*", "transform": "pascal_case"}], {"XTenantId": "t"}, set()),
        ({"name": "Subject"}, {"subject": "s"}, set()),
        ([], {}, set()),
    ],
)
def test_fields_become_metadata(specs, values, removed):
    found = import_fields(make_rules(specs), FIELDS)

    assert (found.values, found.removed) == (values, removed)


@pytest.mark.parametrize("name", ["-", "--x-", "_"])
def test_odd_names_are_kept_somehow(name):
    for transform in ("snake_case", "kebab_case", "camel_case", "pascal_case"):
        rules = make_rules([{"name": name, "transform": transform}])
        assert len(import_fields(rules, [(name, "v")]).values) == 1


@pytest.mark.parametrize(
    ("specs", "error", "text"),
    [
        ("X-A", TypeError, "list"),
        (7, TypeError, "list"),
        (["X-A"], TypeError, r"specs\[0\]"),
        ([{}], ValueError, "name"),
        ([{"name": "*"}], ValueError, "name"),
        ([{"name": "a*b*"}], ValueError, "name"),
        ([{"name": "a", "mtach": "all"}], ValueError, "did you mean match"),
        ([{"name": "a", "match": "some"}], ValueError, "match"),
        ([{"name": "a", "transform": "x"}], ValueError, "transform"),
        ([{"name": "a*", "target": "x"}], ValueError, "target"),
        ([{"name": "a", "remove": 1}], ValueError, "remove"),
        ([{"name": "a"}] * 1001, ValueError, "rules"),
    ],
)
def test_a_wrong_rule_says_what_is_wrong(specs, error, text):
    with pytest.raises(error, match=text):
        make_rules(specs)
