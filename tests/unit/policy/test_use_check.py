"""What cannot work is found in the text of a script; what may work is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy.script_api import ScriptNamespace
from policy.use_check import check_uses

HEAD = "import mta\nfrom mta import on, reject\n"


def namespace() -> ScriptNamespace:
    """Return a few names of the node, under which the stubs know them."""
    made = ScriptNamespace()
    for name in ("log_info", "reject", "make_throttle", "version", "memoize"):
        made.expose(name, len)
    for module, name in (("mta.dns", "lookup_mx"), ("mta.http", "build_client")):
        made.expose(name, len, module=module)
    made.expose("sha256", len, module="mta.digest")
    made.expose("setup", len, module="helpers.queues")
    return made


def found(folder: Path, text: str) -> list[str]:
    """Return line and message of each finding, counted from behind the head."""
    path = folder / "init.py"
    path.write_text(HEAD + text)
    findings = check_uses([path, folder / "table.json"], namespace().names())
    return [f"{(one.line or 0) - 2}: {one.severity}: {one.message}" for one in findings]


def handler(event: str, arguments: str, body: str, word: str = "def") -> str:
    """Return a handler with a body of one line, which is line 3."""
    return f"@on({event!r})\n{word} f({arguments}):\n    {body}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mta.log_inof('x')", "mta has no 'log_inof'; did you mean 'log_info'?"),
        ("mta.dns.lookup('x')", "mta.dns has no 'lookup'"),
        (
            "mta.log_info('x', evry=1)",
            "mta.log_info: there is no option 'evry'; did you mean 'every'?",
        ),
        ("mta.log_info(text='x', txt=1)", "mta.log_info: there is no option 'txt'"),
        ("reject('550', 'no')", "mta.reject: code: a whole number is expected, not '550'"),
        ("reject(550)", "mta.reject: text must be given"),
        ("reject(550, 'a', 'b')", "mta.reject: 3 arguments are too many: there are 2"),
        ("reject(550, 'a', code=1)", "mta.reject: 'code' is given twice"),
        ("mta.digest.sha256('a', 3)", "mta.digest.sha256: text or bytes is expected, not 3"),
        (
            "mta.http.build_client('x')",
            "mta.http.build_client: arguments are given by name, such as user_agent,",
        ),
        ("mta.http.build_client().gte('x')", "Client has no 'gte'; did you mean 'get'?"),
        ("mta.memoize(ttl=1, capacity=1)", "mta.memoize: name must be given"),
        ("from helpers import queues\nqueues.setpu([])", "helpers.queues has no 'setpu'"),
        ("import mta.dns as d\nd.nothing", "mta.dns has no 'nothing'"),
        ("c = mta.http.build_client()\nc.close(1)", "client.close: 1 arguments are too many"),
        (
            "TABLE = {}\nTABEL['a']",
            "there is no name 'TABEL' in this script; did you mean 'TABLE'?",
        ),
    ],
)
def test_a_use_that_cannot_work_is_an_error_with_a_hint(
    tmp_path: Path, text: str, message: str
) -> None:
    (finding,) = found(tmp_path, text)

    line = text.count("\n") + 1
    assert finding.startswith(f"{line}: error: {message}")


@pytest.mark.parametrize(
    ("event", "arguments", "body", "message"),
    [
        ("smtp_mail_from", "sender, conn", "sender.domian", "Address has no 'domian'"),
        ("message_received", "m", "m.recipients", "Message has no 'recipients'; did you mean"),
        ("message_received", "m", "m.id = 3", "the attribute 'id' of Message cannot be set"),
        ("message_received", "m", "m.set_meta('a')", "message.set_meta: value must be given"),
        ("message_received", "m", "m.sender.mail", "Address has no 'mail'; did you mean 'email'?"),
        ("log_disposition", "m, r", "m.get_mta('x')", "Message has no 'get_mta'"),
        ("message_received", "m", "h = m.from_header(); h.eml", "AddressHeader has no 'eml'"),
        ("message_received", "m", "mta.dns.lookup_mx('x')", "mta.dns.lookup_mx() waits: await it"),
        ("smtp_auth_plain", "a, b, c, d", "return 'yes'", "smtp_auth_plain answers True or False"),
        (
            "get_queue_config",
            "a, b, c, d",
            "return {}",
            "get_queue_config answers an object QueueConfig or None, not {}",
        ),
    ],
)
def test_what_a_handler_does_with_what_it_is_given_is_looked_at(
    tmp_path: Path, event: str, arguments: str, body: str, message: str
) -> None:
    (finding,) = found(tmp_path, handler(event, arguments, body))

    assert finding.startswith(f"3: error: {message}")


def test_a_handler_that_is_given_by_name_is_looked_at(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, "def f(m):\n    m.nothing\non('message_received', f)\n")

    assert finding == "2: error: Message has no 'nothing'"


def test_a_call_that_is_not_awaited_never_begins(tmp_path: Path) -> None:
    text = handler("message_received", "msg", "mta.dns.lookup_mx('x')", "async def")

    assert found(tmp_path, text) == ["3: error: mta.dns.lookup_mx() without await: it never begins"]


@pytest.mark.parametrize(
    ("word", "message"),
    [("def", "g() waits: await it, in an `async def`"), ("async def", "g() without await: it")],
)
def test_an_own_function_that_waits_is_awaited_too(tmp_path: Path, word: str, message: str) -> None:
    text = handler("message_received", "msg", "g(msg)", word)

    (finding,) = found(tmp_path, text + "async def g(msg):\n    pass\n")

    assert finding.startswith(f"3: error: {message}")


def test_an_answer_to_an_event_that_takes_none_is_a_warning(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, handler("smtp_rcpt_to", "r, conn", "return False"))

    assert finding.startswith("3: warning: smtp_rcpt_to answers nothing")


@pytest.mark.parametrize(
    "text",
    [
        "mta.log_info(3, every='1m')",
        "mta.log_info(*[], **{})",
        "reject(*[550, 'x'])",
        "reject(int('550'), 'x')",
        "mta.make_throttle('a', '1/s').throttle()['limit']",
        "if hasattr(mta, 'newer'):\n    mta.newer()",
        "try:\n    mta.newer()\nexcept AttributeError:\n    pass",
        "x = getattr(mta, 'newer', None) or mta.newer",
        "def f(mta):\n    mta.anything(1, 2, 3)",
        "try:\n    absent\nexcept NameError:\n    pass",
        "def f():\n    return later\nlater = len([__name__])",
        "[a for a in range(3) if a]\nlambda b, *c, **d: (b, c, d)",
        "match 3:\n    case {'a': a, **b}:\n        a, b\n    case [c, *d] as e:\n        c, d, e",
        "def f(reject):\n    reject()",
        "reject = print\nreject()",
        "for mta in []:\n    mta.anything",
        "def f():\n    global mta\n    mta = 3\nmta.anything",
        "c = mta.http.build_client()\nc = 3\nc.anything",
        "def f():\n    c = mta.http.build_client()\n    def g():\n        nonlocal c\n"
        "        c = 3\n    c.anything",
        "[mta.anything for mta in []]",
        "f = lambda mta: mta.anything",
        "class A:\n    def f(self, msg):\n        return msg.anything",
        "def f(msg):\n    return msg.anything",
        "async def f():\n    waiting = mta.dns.lookup_mx('x')\n    return await waiting",
        "def f():\n    return mta.dns.lookup_mx('x')",
        "async def g():\n    return 1\nasync def f():\n    await g()\n    return g()",
        "@on\nasync def g():\n    return 1\nasync def f():\n    g()",
        "async def g():\n    return 1\ndef h():\n    return g()",
        "answer = mta.http.build_client().get('x').headers({'a': 'b'})",
        "text = mta.version.anything",
        "x: mta.Message = None",
        "@mta.memoize(name='a', ttl='1m', capacity=1)\ndef f(a):\n    return a",
        "def f(response):\n    return response.headers.get('x')",
        handler("message_received", "m", "m = m.parse_mime(); m.anything"),
        handler("message_received", "m", "m.sender = 'a@b.test'"),
        handler("message_received", "m", "m.recipient_list = []"),
        handler("smtp_auth_plain", "a, b, c, d", "return {'authz': 'x'}"),
        handler("smtp_rewrite_response", "a, b, c, d", "return None, 'x'"),
        handler("smtp_rewrite_response", "a, b, c, d", "return [550, None]"),
        handler("get_queue_config", "a, b, c, d", "return len(a)"),
        handler("smtp_rcpt_to", "a, b", "return None"),
        handler("no_such_event", "msg", "msg.anything"),
    ],
)
def test_what_may_work_is_left_alone(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


def test_the_headers_of_an_answer_are_a_mapping_too(tmp_path: Path) -> None:
    body = "a = await mta.http.build_client().get('x').send(); a.headers.get('x')"

    assert found(tmp_path, handler("message_received", "msg", body, "async def")) == []


def test_a_script_that_cannot_be_read_is_left_to_the_load(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def")

    files = [tmp_path / "broken.py", tmp_path / "missing.py"]
    assert check_uses(files, namespace().names()) == []
