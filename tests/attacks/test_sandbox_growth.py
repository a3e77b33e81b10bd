"""Scripts that grow without end: each ends before it has taken much memory or time."""

# ruff: noqa: E501 - the scripts read best on one line

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from policy.budget import MAX_CALL_BYTES
from tests.attacks.hostile import error_of, load

CPU = "ms of CPU"
MEMORY = "MiB of memory"
SPENT = f"{CPU}|{MEMORY}"
LIMIT = "LimitExceededError"
ENDED = f"{SPENT}|{LIMIT}"

# Doubling: whatever makes one large value of two.
DOUBLING = {
    "deque extend": "import collections\nd = collections.deque([0])\nwhile True: d.extend(d)",
    "deque extendleft": "import collections\nd = collections.deque([0])\nwhile True: d.extendleft(d)",
    "deque +=": "import collections\nd = collections.deque([0])\nwhile True: d += d",
    "deque +": "import collections\nd = collections.deque([0])\nwhile True: d = d + d",
    "deque *=": "import collections\nd = collections.deque([0])\nwhile True: d *= 2",
    "counter item": "import collections\nc = collections.Counter()\nc['a'] = 'x'\nwhile True: c['a'] += c['a']",
    "base64": "import base64\nx = b'x' * 1000\nwhile True: x = base64.b64encode(x)",
    "base16": "import base64\nx = b'x'\nwhile True: x = base64.b16encode(x)",
    "base85": "import base64\nx = b'z' * 4\nwhile True: x = base64.b85encode(x)",
    "unicode_escape": "x = '\\\\'\nwhile True: x = x.encode('unicode_escape').decode()",
    "re.escape": "import re\nx = '.'\nwhile True: x = re.escape(x)",
    "re template": "import re\nx = 'x' * 1000\nwhile True: x = re.sub('(x+)', r'\\1\\1', x)",
    "match expand": "import re\nm = re.search('(x+)', 'x' * 10**5)\nm.expand(r'\\1' * 4000)",
    "repr": "x = '\\\\'\nwhile True: x = repr(x)",
    "ascii": "x = '\\\\'\nwhile True: x = ascii(x)",
    "json": "import json\nx = '\\\\'\nwhile True: x = json.dumps(x)",
    "reduce": "import functools\nfunctools.reduce(lambda a, b: a + a, range(100), 'x')",
    "accumulate": "import itertools\nlist(itertools.accumulate([[0]] * 100, lambda a, b: a + a))",
    "format_map": "x = 'x'\nwhile True: x = '{a}{a}'.format_map({'a': x})",
    "format builtin": "x = 'x' * 9000\nk = []\nwhile True: k.append(format(x, '>9999'))",
}

# Lists that are gone through by what adds to them.
SELF_FEEDING = {
    "filter": "l = [1]\nlist(filter(l.append, l))",
    "filter into a set": "l = [1]\nset(filter(l.append, l))",
    "min with a key": "l = [1, 2]\nmin(l, key=lambda x: l.append(x) or x)",
    "max with a key": "l = [1, 2]\nmax(l, key=lambda x: l.append(x) or x)",
    "filterfalse": "import itertools\nl = [1]\nlist(itertools.filterfalse(l.append, l))",
    "groupby": "import itertools\nl = [1]\nfor k, g in itertools.groupby(l, key=l.append): list(g)",
    "starmap": "import itertools\nl = [(1,)]\nlist(itertools.starmap(lambda x: l.append((x,)), l))",
    "takewhile": "import itertools\nl = [1]\nlist(itertools.takewhile(lambda x: l.append(x) or True, l))",
    "dropwhile": "import itertools\nl = [1]\nlist(itertools.dropwhile(lambda x: l.append(x) or True, l))",
    "map": "l = [1]\nlist(map(l.append, l))",
    "zip with map": "l = [1]\nlist(zip(l, map(l.append, l)))",
    "for": "l = [1]\nfor x in l: l.append(x)",
    "comprehension": "l = [1]\n[l.append(x) for x in l]",
}

# One operation, outsized.
OUTSIZED = {
    "int of hexadecimal digits": ("int('f' * 10**7, 16)", "digits"),
    "int through map": ("list(map(int, ['f' * 10**7], [16]))", "digits"),
    "int of decimal digits": ("int('9' * 10**7)", "digits"),
    "int of bytes": ("int.from_bytes(b'x' * 10**6, 'big')", "integer of 1000000 bytes"),
    "int of bytes by an object": ("(1).from_bytes(b'x' * 10**6, 'big')", "integer of"),
    "integer in the source": (f"return 0x{'f' * 20_000}", "bits is not allowed"),
    "text of an integer": ("x = 2 ** 8000\nstr(x * x)", "ValueError"),
    "translate by an object": (
        "class T:\n    def __getitem__(self, k): return 'y' * 10**5\n('x' * 10**5).translate(T())",
        LIMIT,
    ),
    "translate by a default": (
        "import collections\ny = 'y' * 10**5\nd = collections.defaultdict(lambda: y)\n('x' * 10**5).translate(d)",
        LIMIT,
    ),
    "percent, many widths": ("('%9999d' * 9000) % ((1,) * 9000)", ENDED),
    "percent, by name": ("('%(a)9999d' * 9000) % {'a': 1}", ENDED),
    "percent, many fields": ("('%(a)s' * 10**6) % {'a': 1}", "fields in a % format"),
    "format, many widths": ("('{0:>9999}' * 10**5).format(1)", ENDED),
    "print separator": ("print(*range(10**4), sep='x' * 10**6)", LIMIT),
    "split": ("('a ' * 8 * 10**6).split()", LIMIT),
    "rsplit": ("('a ' * 8 * 10**6).rsplit(' ')", LIMIT),
    "splitlines": ("('\\n' * 8 * 10**6).splitlines()", LIMIT),
    "split by getattr": ("getattr('a ' * 8 * 10**6, 'split')()", LIMIT),
    "capwords": ("import string\nstring.capwords('a ' * 8 * 10**6)", LIMIT),
    "strip": ("x = 'b' * 10**6\n('a' * 10**6).strip(x)", LIMIT),
    "punycode": ("('é' * 10**6).encode('punycode')", "codec 'punycode'"),
    "idna": ("('é.' * 10**5).encode('idna')", "codec 'idna'"),
    "punycode by bytes": ("bytes('é' * 10**6, 'punycode')", "codec"),
    "punycode by str": ("x = b'a' * 10**6\nstr(x, 'punycode')", LIMIT),
    "punycode by decode": ("(b'a' * 10**6 + b'-9').decode('punycode')", "codec"),
    "zip": ("list(zip(*[range(10**6)] * 20))", CPU),
    "range to a set": ("[set(range(10**6)) for i in range(9)]", SPENT),
    "fromkeys": ("while True: dict.fromkeys(range(10**6))", SPENT),
    "named tuple": (
        "import collections\ncollections.namedtuple('P', [f'a{i}' for i in range(5000)])",
        LIMIT,
    ),
    "json list": ("import json\njson.loads('[' + '[],' * 10**6 + '1]')", SPENT),
    "json nesting": ("import json\njson.loads('[' * 10**6)", f"{SPENT}|RecursionError"),
    "json default": (
        "import json\nclass C: pass\njson.dumps([C()] * 1000, default=lambda o: 'x' * 10**6)",
        ENDED,
    ),
    "random sample": ("import random\nrandom.sample(range(10**6), 10**6)", LIMIT),
    "random sample of counts": (
        "import random\nrandom.sample([1], counts=[10**12], k=10)",
        "random values",
    ),
    "shuffle": ("import random\nx = list(range(10**6))\nrandom.shuffle(x)", CPU),
    "textwrap tabs": ("import textwrap\ntextwrap.wrap('\\t', tabsize=10**9)", LIMIT),
    "textwrap narrow": ("import textwrap\ntextwrap.wrap('x' * 150000, 1)", CPU),
    "strptime": (
        "import datetime\ndatetime.datetime.strptime('x', 'x' * 10**6)",
        "time format",
    ),
    "subnets": (
        "import ipaddress\nlist(ipaddress.ip_network('10.0.0.0/8').subnets(16))",
        "subnets",
    ),
    "collapse": (
        "import ipaddress\nipaddress.collapse_addresses([ipaddress.ip_network('10.0.0.0/24')] * 9000)",
        "collapsed",
    ),
    "base85 of much": ("import base64\nbase64.b85encode(b'z' * 4 * 10**6)", SPENT),
    "deque repetition": ("import collections\ncollections.deque([0]) * 10**9", LIMIT),
    "counter of lists": (
        "import collections\nc = collections.Counter(a=[0])\nc.update(c)",
        "counts in numbers",
    ),
    "counter of lists, added": (
        "import collections\nc = collections.Counter()\nc['a'] = [0]\nc += c",
        "counts in numbers",
    ),
    "counter of lists, taken": (
        "import collections\nc = collections.Counter()\nc.subtract({'a': [0]})",
        "counts in numbers",
    ),
    "sort of long texts": (
        "x = 'x' * 10**6\nsorted([x + 'a', x + 'b'] * 10**4)",
        CPU,
    ),
}

# Keeping: many middling values, each too small to notice alone.
KEEPING = {
    "small lists": "k = []\nwhile True: k.append([0] * 4000)",
    "small texts": "k = []\nwhile True: k.append('x' * 4000)",
    "small additions": "s = ''\nx = 'y' * 4000\nwhile True: s += x",
    "bytes": "k = []\nwhile True: k.append(bytes(10**6))",
    "lists of a text": "x = 'x' * 10**7\nk = []\nwhile True: k.append(list(x))",
    "copies of a list": "x = [0] * 10**6\nk = []\nwhile True: k.append(x.copy())",
    "slices": "x = 'x' * 10**7\nk = []\nwhile True: k.append(x[1:])",
    "upper": "x = 'x' * 10**7\nk = []\nwhile True: k.append(x.upper())",
    "arguments": "x = [0] * 10**6\nk = []\ndef f(*a): return a\nwhile True: k.append(f(*x))",
    "dict of lists": "{i: [i] * 1000 for i in range(10**6)}",
    "notes of an error": "e = ValueError()\nwhile True: e.add_note('x' * 4000)",
    "a cache": "import functools\n@functools.lru_cache(None)\ndef f(x): return 'x' * 100000\nfor i in range(10**6): f(i)",
}

# Nested sharing: 60 lines of it would be larger than any memory.
_LAUGHS = "x = [1]\nfor i in range(60): x = [x, x]\n"
LAUGHING = {
    "repr": "repr(x)",
    "ascii": "ascii(x)",
    "str through map": "list(map(str, [x]))",
    "f-string": "f'{x!r:>5}'",
    "str.format": "'{0}'.format(x)",
    "format_map": "'{a}'.format_map({'a': x})",
    "format conversion": "'{0!r}'.format(x)",
    "join of map": "','.join(map(str, [x]))",
    "print": "print(x)",
    "deque": "import collections\nrepr(collections.deque([x]))",
    "chain map": "import collections\nrepr(collections.ChainMap({1: x}))",
    "exception": "str(ValueError(x))",
    "own exception": "class E(Exception): pass\nstr(E(x))",
    "views": "str({1: x}.values())",
    "partial": "import functools\nrepr(functools.partial(print, x))",
    "dataclass": "import dataclasses\n@dataclasses.dataclass\nclass C: x: object\nrepr(C(x))",
    "dataclass with slots": "import dataclasses\n@dataclasses.dataclass(slots=True)\nclass C: x: object\nf'{C(x)}'",
    "asdict": "import dataclasses\n@dataclasses.dataclass\nclass C: x: object\ndataclasses.asdict(C(x))",
    "astuple": "import dataclasses\n@dataclasses.dataclass\nclass C: x: object\ndataclasses.astuple(C(x))",
    "json": "import json\njson.dumps(x)",
    "json default": "import json\nclass C: pass\njson.dumps(C(), default=lambda o: x)",
    "named tuple": "import collections\nP = collections.namedtuple('P', 'a')\nrepr(P(x))",
    "hash": "y = (1,)\nfor i in range(60): y = (y, y)\nhash(y)",
}

CASES = [
    pytest.param(body, ENDED, id=f"{table}: {name}")
    for table, scripts in (
        ("doubling", DOUBLING),
        ("feeding", SELF_FEEDING),
        ("keeping", KEEPING),
        ("laughing", {name: _LAUGHS + body for name, body in LAUGHING.items()}),
    )
    for name, body in scripts.items()
] + [pytest.param(body, error, id=f"outsized: {name}") for name, (body, error) in OUTSIZED.items()]


@pytest.mark.real_time
@pytest.mark.parametrize(("body", "error"), CASES)
def test_growth_ends_as_an_error_of_the_call(tmp_path: Path, body: str, error: str) -> None:
    text = error_of(tmp_path, body)

    assert any(part in text for part in error.split("|")), text


@pytest.mark.real_time
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["small lists", "small texts", "lists of a text", "copies of a list", "slices"]
)
def test_what_a_call_keeps_is_bounded(tmp_path: Path, name: str) -> None:
    tracemalloc.start()
    try:
        error_of(tmp_path, KEEPING[name])
        _now, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 4 * MAX_CALL_BYTES


def test_a_list_that_takes_in_its_own_iterator_doubles_once(tmp_path: Path) -> None:
    script = load(tmp_path, "l = [1]\nl += iter(l)\nl += (x for x in l)\nreturn l")

    assert script.runtime.fire_nowait("probe") == [1, 1, 1, 1]


def test_a_list_that_takes_in_an_object_over_itself_ends(tmp_path: Path) -> None:
    body = "l = [1]\nclass I:\n    def __iter__(self): return iter(l)\nl += I()\nreturn l"

    assert load(tmp_path, body).runtime.fire_nowait("probe") == [1, 1]
