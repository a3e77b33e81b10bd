"""Access lists: rules, criteria, the order of resources."""

from __future__ import annotations

import pytest

from engine.model.access_list import (
    AccessSubject,
    parse_access_list,
    parse_access_map,
    resources_of,
)

ANN = AccessSubject(("ann",), ("operators",), "192.0.2.1")
NOBODY = AccessSubject((), (), "198.51.100.7")


def rule(criteria, access="Allow", privilege="GET"):
    return {"criteria": criteria, "access": access, "privilege": privilege}


@pytest.mark.parametrize(
    ("criteria", "of_ann", "of_nobody"),
    [
        ("Any", True, True),
        ({"Any": {}}, True, True),
        ("Authenticated", True, None),
        ({"Unauthenticated": {}}, None, True),
        ({"Individual": "ann"}, True, None),
        ({"Identity": {"Group": "operators"}}, True, None),
        ({"Machine": "198.51.100.7"}, None, True),
        ({"Identity": {"MachineSet": ["192.0.2.0/24", "203.0.113.0/24"]}}, True, None),
        ({"Not": {"Group": "operators"}}, None, True),
        ({"AllOf": ["Authenticated", {"Group": "other"}]}, None, None),
        ({"AllOf": ["Authenticated", {"Not": {"Group": "other"}}]}, True, None),
        ({"AnyOf": [{"Individual": "bob"}, {"Machine": "198.51.100.7"}]}, None, True),
        ({"AllOf": []}, True, True),
        ({"AnyOf": []}, None, None),
    ],
)
def test_a_rule_speaks_of_those_whom_its_criteria_fit(criteria, of_ann, of_nobody):
    made = parse_access_list([rule(criteria)])

    assert (made.judge(ANN, "GET"), made.judge(NOBODY, "GET")) == (of_ann, of_nobody)


def test_the_first_rule_that_speaks_of_caller_and_privilege_decides():
    made = parse_access_list(
        [
            rule({"Individual": "ann"}, "Deny"),
            {"identity": "Any", "allow": True, "privileges": ["GET", "POST"]},
        ]
    )

    assert made.judge(ANN, "GET") is False
    assert made.judge(ANN, "POST") is True
    assert made.judge(NOBODY, "GET") is True
    assert made.judge(NOBODY, "DELETE") is None


def test_another_spelling_of_an_address_bypasses_no_rule():
    made = parse_access_list([rule({"Machine": "192.0.2.1"}, "Deny")])

    assert made.judge(AccessSubject(address="::ffff:192.0.2.1"), "GET") is False


def test_a_path_is_judged_from_itself_to_what_it_lies_in_first_at_its_own_listener():
    assert resources_of("127.0.0.1:8000", "/api/admin/bounce/v1") == (
        "http_listener/127.0.0.1:8000/api/admin/bounce/v1",
        "http_listener/127.0.0.1:8000/api/admin/bounce",
        "http_listener/127.0.0.1:8000/api/admin",
        "http_listener/127.0.0.1:8000/api",
        "http_listener/127.0.0.1:8000",
        "http_listener/*/api/admin/bounce/v1",
        "http_listener/*/api/admin/bounce",
        "http_listener/*/api/admin",
        "http_listener/*/api",
        "http_listener",
    )


def test_a_long_path_makes_few_resources():
    found = resources_of("h:1", "/a" * 1000)

    assert len(found) == 22
    assert max(map(len, found)) < 300


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("GET", "a list of rules"),
        ([1], "a table"),
        ([{"criteria": "Any", "privilege": "GET", "acces": "Allow"}], "did you mean 'access'"),
        ([rule("Any") | {"identity": "Any"}], "exactly one of criteria and identity"),
        ([{"privilege": "GET", "access": "Allow"}], "exactly one of criteria and identity"),
        ([rule("Any", privilege="get")], "HTTP methods"),
        ([rule("Any", privilege=7)], "HTTP methods"),
        ([rule("Any") | {"privileges": ["GET"]}], "list of HTTP methods"),
        ([{"criteria": "Any", "access": "Allow", "privileges": "GET"}], "list of HTTP methods"),
        ([{"criteria": "Any", "access": "Allow", "privileges": []}], "list of HTTP methods"),
        ([rule("Any", "Perhaps")], "Allow or Deny"),
        ([rule("Any") | {"allow": True}], "exactly one of access and allow"),
        ([{"criteria": "Any", "privilege": "GET", "allow": 1}], "Allow or Deny"),
        ([rule("Everyone")], "a criterion is a table"),
        ([rule({"Grup": "x"})], "did you mean 'Group'"),
        ([rule({"Group": "x", "Any": {}})], "one key"),
        ([rule({"Group": ""})], "a name"),
        ([rule({"AllOf": "Any"})], "a list of criteria"),
        ([rule({"Machine": "here"})], "not a network"),
        ([rule({"MachineSet": "10.0.0.0/8"})], "a list of networks"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_rule(given, complaint):
    with pytest.raises(ValueError, match=complaint) as error:
        parse_access_list(given)

    assert "rule 1" in str(error.value) or given == "GET"


def test_criteria_without_end_are_refused():
    deep: object = "Any"
    for _ in range(100):
        deep = {"Not": deep}

    with pytest.raises(ValueError, match="too deep"):
        parse_access_list([rule(deep)])


def test_a_file_holds_lists_by_resource():
    rules = [{"allow": True, "privileges": ["GET"], "identity": {"Group": "operators"}}]

    found = parse_access_map({"acl": {"http_listener/*/metrics": rules}})

    assert found["http_listener/*/metrics"].judge(ANN, "GET") is True
    with pytest.raises(ValueError, match="http_listener: rule 1"):
        parse_access_map({"acl": {"http_listener": [{"allow": True}]}})
    with pytest.raises(ValueError, match="only tables"):
        parse_access_map({"acls": {}})
