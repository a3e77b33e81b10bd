"""Options are judged where they are written, whether or not anybody gets there."""

from __future__ import annotations

import textwrap

import pytest

from engine.call_check import check_calls


def findings(tmp_path, text: str) -> list[str]:
    script = tmp_path / "init.py"
    script.write_text(textwrap.dedent(text))
    return [str(finding).removeprefix(f"{tmp_path}/") for finding in check_calls([script])]


def test_an_unknown_option_has_its_line_and_a_hint(tmp_path):
    found = findings(
        tmp_path,
        """\
        import mta

        def path(domain):
            if domain == "rare.example":
                return mta.make_egress_path(
                    connection_limt=3,
                )
        """,
    )

    assert found == [
        "init.py:6: error: make_egress_path: unknown option 'connection_limt'"
        " (did you mean 'connection_limit'?)"
    ]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ("make_queue_config(max_message_rate='0/s')", "max_message_rate"),
        ("make_queue_config(retry_interval=x, max_age='soon')", "max_age"),
        ("make_queue_config(protocol={'smtp': {'foo': 1}})", "foo"),
        ("make_egress_path(enable_dane=True)", "DANE is not yet available"),
        ("make_egress_path(enable_dane=True, smtp_port=x)", "DANE is not yet available"),
        ("make_egress_source(name='a', source_address='here')", "source_address"),
        ("make_egress_pool(name='a', entries=[{'name': 'b'}, {'name': 'b'}])", "listed twice"),
        ("make_listener_domain(relay_to='yes')", "relay_to"),
    ],
)
@pytest.mark.parametrize("way", ["import mta as m\nm.", "from mta import *\n"])
def test_a_wrong_value_is_an_error(tmp_path, call, complaint, way):
    name = call.partition("(")[0]
    way = f"from mta import {name} as make\n" if "*" in way else way
    text = f"x = 1\n{way}{call if way.endswith('.') else call.replace(name, 'make', 1)}\n"

    (found,) = findings(tmp_path, text)

    assert found.startswith("init.py:3: error: ")
    assert complaint in found


@pytest.mark.parametrize(
    "call",
    [
        "make_queue_config()",
        "make_queue_config(retry_interval='20m', egress_pool=name)",
        "make_queue_config(**options)",
        "make_egress_source(name=name, source_address=None)",
        "make_egress_pool(name=name, entries=entries)",
        "make_something_else(foo=1)",
    ],
)
def test_what_fits_or_is_computed_is_left_alone(tmp_path, call):
    assert findings(tmp_path, f"import mta\nmta.{call}\n") == []


def test_what_is_not_in_force_is_a_warning(tmp_path):
    assert findings(tmp_path, "import mta\nmta.make_egress_path(openssl_options='x')\n") == [
        "init.py:2: warning: make_egress_path: openssl_options is known but not yet in force"
    ]


def test_other_modules_and_other_files_are_none_of_its_business(tmp_path):
    data = tmp_path / "data.toml"
    data.write_text("a = ")

    assert findings(tmp_path, "import other\nother.make_egress_path(foo=1)\n") == []
    assert check_calls([data, tmp_path / "gone.py"]) == []
