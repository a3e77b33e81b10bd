"""Answers of smtp_auth_plain as identities."""

from __future__ import annotations

import pytest

from engine.receive.smtp_session_auth import Credentials, _decode, _identify

JOE = Credentials("alias", "joe", "pw")
AUTHN, AUTHZ = "SmtpAuthPlainAuthentication", "SmtpAuthPlainAuthorization"


@pytest.mark.parametrize("answer", [None, False])
def test_none_and_false_refuse(answer):
    assert _identify(answer, JOE) is None


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (True, ("joe", "alias")),
        ({"identities": ["x"]}, ("x", "x")),
        ({"identities": [{"identity": "x"}]}, ("x", "x")),
        (
            {
                "identities": [
                    {"identity": "z", "context": AUTHZ},
                    {"identity": "n", "context": AUTHN},
                ]
            },
            ("n", "z"),
        ),
    ],
)
def test_an_answer_names_who_it_is_and_whom_it_acts_for(answer, names):
    identity = _identify(answer, JOE)
    assert (identity.authn, identity.authz) == names


@pytest.mark.parametrize("answer", [{}, {"identities": []}, {"identities": None}])
def test_a_dict_without_identities_is_an_error_not_a_wrong_password(answer):
    with pytest.raises(ValueError, match="without identities"):
        _identify(answer, JOE)


def test_every_name_is_kept_with_its_context_and_the_groups():
    answer = {"identities": ["x", {"identity": "n", "context": AUTHN}], "groups": ["staff"]}
    identity = _identify(answer, JOE)
    assert identity.all == (("x", "GenericAuth"), ("n", AUTHN))
    assert identity.groups == ("staff",)
    assert _identify(True, JOE).all == (("alias", AUTHZ), ("joe", AUTHN))


def test_an_equals_sign_is_an_empty_response():
    assert _decode("=") == b""
