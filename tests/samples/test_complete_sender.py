"""samples/policy/complete_sender.py: tenants, pools, DKIM, queues and a log hook, from files."""

from __future__ import annotations

import contextlib
import http.server
import json
import shutil
import smtplib
import ssl
import threading
import urllib.parse
import urllib.request

import pytest

from tests.fakes.dkim_oracle import is_verified, rsa_pair, tags_of
from tests.fakes.tsa_process import TsaProcess
from tests.samples.running_node import (
    SAMPLES,
    Receiver,
    RunningNode,
    free_ports,
    place_sample,
    wait_until,
    with_zone,
)

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
PASSWORD = "correct horse battery staple"


class Webhook:
    """Keeps the records that are posted to it."""

    def __init__(self) -> None:
        self.records: list[dict] = []
        self.port = free_ports(1)[0]

    @contextlib.contextmanager
    def listening(self):
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.records += json.loads(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def place(folder, receiver: Receiver, webhook: Webhook, tsa_port: int = 0) -> RunningNode:
    """Return a node for the sample with keys that are there, and hosts of ours for the world."""
    url = f"http://127.0.0.1:{webhook.port}/records"
    shutil.copytree(SAMPLES.parent / "shaping", folder / "shaping")
    folder = folder / "policy"
    folder.mkdir()
    tsa = [f"http://127.0.0.1:{tsa_port or free_ports(1)[0]}"]
    node = place_sample("complete_sender.py", folder, WEBHOOK=repr(url), TSA=repr(tsa))
    node.policy.write_text(with_zone(node.policy.read_text()))
    shutil.copytree(SAMPLES / "complete_sender", folder / "complete_sender")
    shaping = folder / "complete_sender" / "shaping.toml"
    own = f"[default]\nsmtp_port = {receiver.port}\nprohibited_hosts = []\n"
    shaping.write_text(shaping.read_text().replace("[default]\n", own, 1))
    (folder / "key.pem").write_text(rsa_pair().pem)
    dkim = folder / "complete_sender" / "dkim.toml"
    rows = [
        row + '\nfilename = "key.pem"' if row.startswith(("[domain", "[signature")) else row
        for row in dkim.read_text().splitlines()
    ]
    dkim.write_text("\n".join(rows) + "\n")
    return node


def mail(sender: str, tenant: str = "", campaign: str = "") -> bytes:
    header = f"From: {sender}\r\nSubject: hi\r\n"
    header += f"X-Tenant: {tenant}\r\n" if tenant else ""
    header += f"X-Campaign: {campaign}\r\n" if campaign else ""
    return f"{header}\r\nhello\r\n".encode()


def login(client: smtplib.SMTP, user: str = "bank", password: str = PASSWORD) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client.starttls(context=context)
    client.login(user, password)


def test_mail_of_each_tenant_leaves_signed_by_its_own_pool_and_is_told_of(tmp_path):
    receiver, webhook = Receiver(), Webhook()
    node = place(tmp_path, receiver, webhook)

    with receiver.listening(), webhook.listening(), node.running():
        with smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10) as client:
            client.sendmail(
                "a@bounce.example.com",
                ["b@there.example"],
                mail("a@shop.example.com", campaign="newsletter"),
            )
            login(client)
            client.sendmail(
                "a@bank.example.com", ["c@slow.example"], mail("a@bank.example.com", "bank", "otp")
            )
        wait_until("both messages", lambda: len(receiver.taken) == 2)
        wait_until(
            "both records at the webhook",
            lambda: [one["type"] for one in webhook.records].count("Delivery") == 2,
        )

    deliveries = {one["queue"]: one for one in webhook.records if one["type"] == "Delivery"}
    shop = deliveries["newsletter:shop@there.example"]
    bank = deliveries["otp:bank@slow.example"]
    assert (shop["egress_pool"], shop["headers"]) == ("shared", {"Subject": "hi"})
    assert (bank["egress_pool"], bank["egress_source"]) == ("bank-only", "ip-3")
    assert "bank.example.com" in receiver.helos
    for recipients, content in receiver.taken:
        assert is_verified(content, rsa_pair())
        assert b"X-Tenant" not in content
        assert b"X-Campaign" not in content
        wanted = "bank1" if recipients == ["c@slow.example"] else "s2026"
        assert tags_of(content)["s"] == wanted


def test_nobody_sends_as_a_tenant_that_is_not_his(tmp_path):
    receiver, webhook = Receiver(), Webhook()
    node = place(tmp_path, receiver, webhook)

    with receiver.listening(), webhook.listening(), node.running():
        with smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10) as client:
            for sender, content, answer in [
                ("a@shop.example.com", mail("a@bank.example.com"), "bank.example.com .From"),
                ("a@bank.example.com", mail("a@shop.example.com"), "bank.example.com .MAIL"),
                ("a@bank.example.com", mail("a@bank.example.com", "bank"), "authenticate"),
                ("a@shop.example.com", mail("a@shop.example.com", "other"), "not taken here"),
            ]:
                with pytest.raises(smtplib.SMTPDataError, match=answer) as caught:
                    client.sendmail(sender, ["b@there.example"], content)
                assert caught.value.smtp_code == 550
            with pytest.raises(smtplib.SMTPAuthenticationError):
                login(client, password="guess")

    assert receiver.taken == []


def test_an_edit_of_a_file_counts_while_the_node_runs_and_a_mistake_does_not(tmp_path):
    receiver, webhook = Receiver(), Webhook()
    node = place(tmp_path, receiver, webhook)
    queues = tmp_path / "policy" / "complete_sender" / "queues.toml"
    tenant = '\n[tenant."new"]\negress_pool = "POOL"\n'

    def log_says(text: str) -> bool:
        return text in node.run_log.read_text()

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10) as client:
            client.sendmail("a@new.example", ["b@there.example"], mail("a@new.example", "new"))

    with receiver.listening(), webhook.listening(), node.running():
        original = queues.read_text()
        queues.write_text(original + tenant.replace("POOL", "shraed"))
        wait_until("the mistake", lambda: log_says("policy rejected"))
        with pytest.raises(smtplib.SMTPDataError, match="not taken here"):
            send()
        queues.write_text(original + tenant.replace("POOL", "shared"))
        wait_until("the new policy", lambda: log_says("policy loaded, epoch 3"))
        send()
        wait_until("the message", lambda: len(receiver.taken) == 1)

    line = len(original.splitlines()) + 3
    assert f"queues.toml:{line}: the egress pool 'shraed'" in node.run_log.read_text()


def test_limits_come_from_the_files_and_the_automation_is_followed(tmp_path):
    receiver, webhook = Receiver(), Webhook()
    tsa = TsaProcess(tmp_path / "tsa")
    node = place(tmp_path, receiver, webhook, tsa.port)

    def ask(path: str):
        url = f"http://127.0.0.1:{node.http_port}{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())

    with receiver.listening(), webhook.listening(), tsa.running(), node.running():
        with smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10) as client:
            client.sendmail("a@shop.example.com", ["b@partner.example"], mail("a@shop.example.com"))
        wait_until("the message", lambda: len(receiver.taken) == 1)
        wait_until("the TSA", lambda: ask("/api/admin/automation/v1")["subscribed_to"])
        queues = ask("/api/admin/queues/v1?has_empty=true")["ready"]
        # That of the log hook is no SMTP.
        names = [one["queue_name"] for one in queues if one["protocol"] == "smtp_client"]
        path = "/api/admin/inspect-ready-q/v1?queue_name="
        paths = [ask(path + urllib.parse.quote(name))["path_config"] for name in names]

    assert {one["max_message_rate"] for one in paths} == {"5/s"}
    assert {one["connection_limit"] for one in paths} == {"2"}
    # From the file about the large providers, which ours is laid over.
    assert {one["max_deliveries_per_connection"] for one in paths} == {100}
