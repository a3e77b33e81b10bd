"""Stand-ins give what scripts need of the standard modules."""

# ruff: noqa: E501 - the scripts read best on one line

from __future__ import annotations

from pathlib import Path

import pytest

from policy.errors import PolicyLoadError
from policy.hook import Hook
from policy.stand_ins import MODULE_NAMES
from policy.testing import LoadedScript

HOOKS = (Hook("probe", result=(object,)),)

USES = {
    "json": (
        "import json\nreturn json.loads(json.dumps({'a': [1, None]}, indent=2))",
        {"a": [1, None]},
    ),
    "json error": (
        "import json\ntry: json.loads('{')\nexcept json.JSONDecodeError as e: return e.pos",
        1,
    ),
    "math": (
        "import math\nreturn [math.ceil(1.2), math.factorial(5), math.prod([2, 3]), math.lcm(4, 6)]",
        [2, 120, 6, 12],
    ),
    "datetime": (
        "from datetime import datetime, timedelta, UTC\nt = datetime(2024, 1, 31, tzinfo=UTC) + timedelta(days=1)\n"
        "return t.isoformat(), t.replace(day=2).day, t.strftime('%Y')",
        ("2024-02-01T00:00:00+00:00", 2, "2024"),
    ),
    "hashlib": ("import hashlib\nreturn hashlib.sha256(b'a').hexdigest()[:8]", "ca978112"),
    "hashlib new": (
        "import hashlib\nh = hashlib.new('md5')\nh.update(b'')\nreturn h.hexdigest()[:4]",
        "d41d",
    ),
    "base64": ("import base64\nreturn base64.b64decode(base64.b64encode(b'a'))", b"a"),
    "ipaddress": (
        "import ipaddress as ip\nn = ip.ip_network('10.0.0.0/30')\n"
        "return [ip.ip_address('10.0.0.1') in n, len(list(n)), len(list(n.hosts())), str(next(n.subnets())), "
        "n.version, str(list(ip.collapse_addresses([n]))[0]), ip.ip_interface('10.0.0.1/24').network.prefixlen]",
        [True, 4, 2, "10.0.0.0/31", 4, "10.0.0.0/30", 24],
    ),
    "textwrap": (
        "import textwrap\nreturn textwrap.fill('a b c', 3), textwrap.dedent('  a')",
        ("a b\nc", "a"),
    ),
    "string": (
        "import string\nreturn string.digits, string.capwords('a b')",
        ("0123456789", "A B"),
    ),
    "uuid": (
        "import uuid\nreturn len(str(uuid.uuid4())), uuid.uuid5(uuid.NAMESPACE_DNS, 'a').version",
        (36, 5),
    ),
    "random": (
        "import random\nrandom.seed(1)\nreturn random.choice([5]), 0 <= random.random() < 1, len(random.sample([1, 2], 2))",
        (5, True, 2),
    ),
    "collections": (
        "import collections as c\nd = c.defaultdict(list)\nd['a'].append(1)\nP = c.namedtuple('P', 'x y')\n"
        "return dict(d), c.Counter('aab').most_common(1), list(c.deque([1, 2], maxlen=1)), P(1, 2)._asdict(), "
        "list(c.Counter('aab').elements())",
        ({"a": [1]}, [("a", 2)], [2], {"x": 1, "y": 2}, ["a", "a", "b"]),
    ),
    "abc": ("from collections.abc import Mapping\nreturn isinstance({}, Mapping)", True),
    "functools": (
        "import functools as f\n@f.lru_cache\ndef a(x): return x\n@f.lru_cache(maxsize=None)\ndef b(x): return x\n"
        "@f.cache\ndef c(x): return x\n@f.wraps(a)\ndef d(): pass\n"
        "return a(1), b(2), c(3), f.partial(a, 4)(), f.reduce(lambda x, y: x + y, [1, 2])",
        (1, 2, 3, 4, 3),
    ),
    "total_ordering": (
        "import functools\n@functools.total_ordering\nclass V:\n    def __init__(self, x): self.x = x\n"
        "    def __eq__(self, o): return self.x == o.x\n    def __lt__(self, o): return self.x < o.x\nreturn V(2) >= V(1)",
        True,
    ),
    "itertools": (
        "import itertools as i\nreturn [list(i.islice(i.count(5), 2)), list(i.chain([1], [2])), "
        "list(i.chain.from_iterable([[3]])), list(i.accumulate([1, 2])), list(i.product('a', repeat=2)), "
        "list(i.permutations([1, 2])), [k for k, g in i.groupby('aab')], list(i.combinations('ab', 2))]",
        [[5, 6], [1, 2], [3], [1, 3], [("a", "a")], [(1, 2), (2, 1)], ["a", "b"], [("a", "b")]],
    ),
}


@pytest.mark.parametrize("name", USES)
def test_a_stand_in_does_what_the_module_does(tmp_path: Path, name: str) -> None:
    body, expected = USES[name]
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    source = f"from mta import on\n@on('probe')\ndef probe():\n{lines}"

    assert LoadedScript(tmp_path, source, HOOKS).runtime.fire_nowait("probe") == expected


@pytest.mark.parametrize("name", sorted(MODULE_NAMES - {"__future__"}))
def test_every_stand_in_can_be_imported(tmp_path: Path, name: str) -> None:
    LoadedScript(tmp_path, f"import {name}\n", HOOKS)


@pytest.mark.parametrize("name", ["json", "mta", "re"])
def test_a_script_named_like_a_module_is_a_load_error(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("x = 1\n")

    with pytest.raises(PolicyLoadError, match="named like the module"):
        LoadedScript(tmp_path, "", HOOKS)
