"""Records to Kafka. Needs ``pip install 'cirrus-mta[kafka]'``."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, final, type_check_only

_Duration: TypeAlias = int | float | str

@final
@type_check_only
class Producer:
    """Sends records to the brokers of one set of options.

    >>> producer = mta.kafka.build_producer({"bootstrap.servers": "127.0.0.1:9092"})
    >>> await producer.send_batch([{"topic": "mail", "payload": "1"}])
    ([], [])
    """

    async def send(
        self,
        *,
        topic: str,
        payload: str | bytes,
        key: str | bytes = ...,
        headers: Mapping[str, str] = ...,
        timeout: _Duration = 60,
    ) -> tuple[int, int]:
        """Send a record; its partition and offset.

        ConnectionError, TimeoutError: it may not have arrived; ValueError: brokers do not take it.
        """
    async def send_batch(self, records: Iterable[Mapping[str, Any]]) -> tuple[list[int], list[str]]:
        """Send records, each with the options of ``send``; which failed (indexes), and why."""
    def close(self) -> None:
        """Send no more."""

def build_producer(config: Mapping[str, Any] | None = None, /, **options: Any) -> Producer:
    """A producer with Kafka's own options: ``build_producer({"bootstrap.servers": "a:9092"})``.

    bootstrap.servers, client.id, acks, compression.type, enable.idempotence, linger.ms,
    message.max.bytes, metadata.max.age.ms, request.timeout.ms, retry.backoff.ms,
    security.protocol, sasl.mechanism, sasl.username, sasl.password, ssl.ca.location. As keywords
    they have underscores for dots.

    >>> producer = mta.kafka.build_producer({"bootstrap.servers": "127.0.0.1:9092"})
    >>> await producer.send(topic="mail", payload="{}")
    (0, 0)
    """
