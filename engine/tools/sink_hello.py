"""The part of a sink's dialogue before mail: banner, EHLO, STARTTLS, AUTH.

Place in flow: ``sink_session`` adds the transaction; ``sink_script`` chooses replies, which leave
by ``sink_wire``.

Standard: RFC 5321, 4.1.1.1; RFC 3207; RFC 4954; RFC 2033, 4.1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from engine.tools.sink_auth import SinkAuth
from engine.tools.sink_options import Extension, SinkReply, Stage
from engine.tools.sink_wire import SinkWire

if TYPE_CHECKING:
    from engine.tools.sink_server import Sink


@lru_cache(maxsize=1024)
def _usual_reply(text: str) -> SinkReply:
    return SinkReply(text)


class SinkHello(SinkWire):
    """A dialogue that takes no mail yet.

    Attributes:
        ehlo: How the client introduced itself, empty before that.
        auth_user: Who it proved to be.
        sender: MAIL FROM of the transaction.
        recipients: Those taken.
        recipient: The one being answered, None where a reply is for all.
    """

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink)
        self._options = sink.options
        self._judge = sink.script.judge
        self._auth = SinkAuth(sink.options.accounts)
        self._expects_auth = False
        self._in_transaction = False
        self.ehlo = ""
        self.auth_user = ""
        self.sender = ""
        self.recipients: list[str] = []
        self.recipient: str | None = None

    def _reset(self) -> None:
        """End the transaction."""
        raise NotImplementedError

    def _greet(self) -> None:
        if self._stats.connections_open > self._options.max_connections:
            self._say(Stage.CONNECT, SinkReply("421 4.7.0 too many connections", close=True))
            return
        kind = "LMTP" if self._options.lmtp else "ESMTP"
        self._answer(Stage.CONNECT, self.client, f"220 {self._options.hostname} {kind} sink")

    def _forget(self) -> None:
        self.ehlo = ""
        self.auth_user = ""
        self._reset()

    # -- choosing replies

    def _choose(self, stage: Stage, argument: Any, usual: str) -> SinkReply:
        """Return the script's reply, or the usual one."""
        reply = self._judge(stage, self, argument)
        if reply is None:
            return _usual_reply(usual)
        if not reply.text and not reply.close and not reply.hang:
            return SinkReply(usual, delay_s=reply.delay_s)
        return reply

    def _answer(self, stage: Stage, argument: Any, usual: str) -> bool:
        """Answer as the script says or as usual; return whether the answer is the usual kind."""
        reply = self._choose(stage, argument, usual)
        self._say(stage, reply)
        return reply.text[:1] == usual[:1]

    # -- commands before mail

    def _hello(self, name: str, *, extended: bool) -> None:
        name = name.strip()
        if not name:
            self._say(Stage.EHLO, SinkReply("501 5.5.4 a name is missing"))
            return
        self._reset()
        offers = self._offers() if extended else []
        text = "\n".join([self._options.hostname, *offers])
        if self._answer(Stage.EHLO, name, f"250 {text}"):
            self.ehlo = name

    def _offers(self) -> list[str]:
        options = self._options
        offers = [
            f"SIZE {options.max_message_size}" if each is Extension.SIZE else each.value.upper()
            for each in Extension
            if each in options.extensions
        ]
        if options.starttls and not self.tls:
            offers.append("STARTTLS")
        if options.accounts:
            offers.append("AUTH PLAIN LOGIN")
        return offers

    def _on_helo(self, rest: str) -> None:
        if self._options.lmtp:
            self._say(Stage.EHLO, SinkReply("500 5.5.1 this is LMTP: say LHLO"))
        else:
            self._hello(rest, extended=False)

    def _on_ehlo(self, rest: str) -> None:
        if self._options.lmtp:
            self._say(Stage.EHLO, SinkReply("500 5.5.1 this is LMTP: say LHLO"))
        else:
            self._hello(rest, extended=True)

    def _on_lhlo(self, rest: str) -> None:
        if self._options.lmtp:
            self._hello(rest, extended=True)
        else:
            self._say(Stage.EHLO, SinkReply("500 5.5.1 this is no LMTP: say EHLO"))

    def _on_starttls(self, _rest: str) -> None:
        if self.tls or not self._options.starttls:
            self._say(Stage.STARTTLS, SinkReply("503 5.5.1 not now"))
            return
        reply = self._choose(Stage.STARTTLS, "", "220 2.0.0 go ahead")
        self._say(Stage.STARTTLS, reply, self._begin_tls if reply.text[:3] == "220" else None)

    def _on_auth(self, rest: str) -> None:
        if not self._options.accounts:
            self._say(Stage.AUTH, SinkReply("502 5.5.1 no AUTH here"))
            return
        if self.auth_user or self._in_transaction or not self.ehlo:
            self._say(Stage.AUTH, SinkReply("503 5.5.1 not now"))
            return
        self._go_on_with_auth(self._auth.begin(rest))

    def _answer_auth(self, line: str) -> None:
        self._expects_auth = False
        self._go_on_with_auth(self._auth.take(line))

    def _go_on_with_auth(self, reply: str) -> None:
        if reply.startswith("334"):
            self._expects_auth = True
            self._say(Stage.AUTH, SinkReply(reply))
        elif reply.startswith("235"):
            if self._answer(Stage.AUTH, self._auth.user, reply):
                self.auth_user = self._auth.user
        else:
            self._say(Stage.AUTH, SinkReply(reply))
