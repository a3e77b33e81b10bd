"""What Python's own strings lack."""

from collections.abc import Mapping
from typing import Any, Literal

def eval_template(
    name: str,
    source: str,
    context: Mapping[str, Any],
    dialect: Literal["Jinja", "Static"] = "Jinja",
) -> str:
    """A template filled in; values are escaped where its name ends in .html or .htm.

    ValueError: the template is wrong, fails, or grows too large.

    >>> mta.string.eval_template("hi.html", "Hi {{ name }}", {"name": "A & B"})
    'Hi A &amp; B'
    """

def normalize_smtp_response(text: str) -> str:
    """The pattern of a reply: addresses, identifiers and times become tokens.

    >>> mta.string.normalize_smtp_response("550 no joe@x.test from 10.1.2.3 id=4bXyZ12AbC")
    '550 no {email} from {ipaddr} id={base64}'
    """

def psl_domain(domain: str) -> str | None:
    """The part of a domain that somebody registered, None where it is a public suffix itself.

    >>> mta.string.psl_domain("mail.example.co.uk")
    'example.co.uk'
    """

def psl_suffix(domain: str) -> str | None:
    """The public suffix of a domain.

    >>> mta.string.psl_suffix("mail.example.co.uk")
    'co.uk'
    """

def wrap(text: str, soft: int = 75, hard: int = 900) -> str:
    r"""Text folded for a header: at spaces to ``soft`` columns, inside words only at ``hard``.

    >>> mta.string.wrap("one two three", 8)
    'one two\r\n\tthree'
    """
