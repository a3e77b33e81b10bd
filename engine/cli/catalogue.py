"""All verbs, by name.

Place in flow: the console offers what stands here; tests compare it with the entry points of the
command line, so that a verb is never in one and missing in the other.
"""

from __future__ import annotations

import click

from engine.cli import (
    audit,
    decisions,
    directives,
    drain,
    messages,
    node,
    policy,
    queues,
    ready,
    rebind,
    shaping,
    single_messages,
    status,
    summaries,
    top,
    trace,
    transfer,
    why,
)
from engine.cli.verb import Verb

MODULES = (
    status,
    top,
    why,
    queues,
    summaries,
    ready,
    messages,
    shaping,
    decisions,
    policy,
    audit,
    trace,
    single_messages,
    directives,
    rebind,
    transfer,
    drain,
    node,
)


def all_verbs() -> dict[str, Verb]:
    """Return the verbs by their names, in the order that people look for them."""
    return {str(made.name): made for module in MODULES for made in module.VERBS}


def verbs_group() -> click.Group:
    """Return a group of all verbs, for somebody who types them in a session."""
    return click.Group("cirrus", commands=dict(all_verbs()))
