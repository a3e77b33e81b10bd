"""``mta.kafka``: records to Kafka.

Place in flow: exposed by ``network_modules``; aiokafka talks, where it is installed.

Invariants:
    * The brokers have a record, as ``acks`` says, when ``send`` returns; it does so within its
      time-out.
    * Producers with the same options are one, also across reloads.

Failure: ``ConnectionError``, ``TimeoutError``; a record that brokers do not take is a
``ValueError``. A time-out says nothing of the record: it may still arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.model.keyword_options import Option, flag, key_source, read_options, text, whole
from engine.script_modules.broker_support import (
    LoadSecret,
    freeze,
    headers_of,
    make_tls,
    octets_of,
    positive,
    require_library,
)
from engine.script_modules.open_connections import CLOSE_S, OpenConnections, Opening
from engine.script_modules.waiting_call import waiting
from policy.script_api import ScriptNamespace, known_to_scripts

MODULE = "mta.kafka"
_LIBRARY = "aiokafka"
START_S = 5.0
SEND_S = 60.0
BATCH_MAX = 1000


def _acks(value: Any) -> int | str:
    known: dict[Any, int | str] = {"all": "all", -1: "all", "-1": "all", 0: 0, "0": 0, 1: 1, "1": 1}
    if isinstance(value, bool) or value not in known:
        raise ValueError("all, 1 or 0 is expected")
    return known[value]


def _one_of(*names: str) -> Any:
    def convert(value: Any) -> str:
        if value not in names:
            raise ValueError(f"one of {', '.join(names)} is expected")
        return str(value)

    return convert


#: By the names that Kafka's own clients have; the field is the library's.
OPTIONS: Mapping[str, Option] = {
    "bootstrap.servers": Option(text, "bootstrap_servers"),
    "client.id": Option(text, "client_id"),
    "acks": Option(_acks, "acks"),
    "request.required.acks": Option(_acks, "acks"),
    "compression.type": Option(_one_of("none", "gzip"), "compression_type"),
    "compression.codec": Option(_one_of("none", "gzip"), "compression_type"),
    "enable.idempotence": Option(flag, "enable_idempotence"),
    "linger.ms": Option(whole(0, 900_000), "linger_ms"),
    "queue.buffering.max.ms": Option(whole(0, 900_000), "linger_ms"),
    "message.max.bytes": Option(whole(1000, 16 << 20), "max_request_size"),
    "metadata.max.age.ms": Option(whole(1000), "metadata_max_age_ms"),
    "request.timeout.ms": Option(whole(100, 900_000), "request_timeout_ms"),
    "retry.backoff.ms": Option(whole(1, 300_000), "retry_backoff_ms"),
    "security.protocol": Option(
        _one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"), "security_protocol"
    ),
    "sasl.mechanism": Option(_one_of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"), "sasl_mechanism"),
    "sasl.username": Option(text, "sasl_plain_username"),
    "sasl.password": Option(text, "sasl_plain_password", is_secret=True),
    "ssl.ca.location": Option(key_source, "ssl_root"),
}

SEND_OPTIONS: Mapping[str, Option] = {
    "topic": Option(text),
    "payload": Option(lambda value: octets_of("payload", value)),
    "key": Option(lambda value: octets_of("key", value)),
    "headers": Option(headers_of),
    "timeout": Option(positive),
}


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """What a producer is made of, as pairs that can be a key."""

    given: tuple[tuple[str, Any], ...]

    def __repr__(self) -> str:
        return "<kafka options>"


class KafkaProducers:
    """Makes what scripts send records with."""

    def __init__(self, connections: OpenConnections, load_secret: LoadSecret) -> None:
        self.connections = connections
        self._load_secret = load_secret

    def build_producer(
        self, config: Mapping[str, Any] | None = None, /, **options: Any
    ) -> KafkaProducer:
        """Return a producer; it connects when the first record is sent.

        Args:
            config: Options by the names of Kafka's own clients, such as ``bootstrap.servers``.
            options: The same, with underscores for dots.

        Raises:
            ImportError: The library is not installed.
            TypeError: An option is unknown or missing.
            ValueError: A value does not fit.
        """
        require_library(_LIBRARY, "kafka")
        dotted = {name.replace("_", "."): value for name, value in options.items()}
        read = read_options("mta.kafka.build_producer", {**(config or {}), **dotted}, OPTIONS)
        if "bootstrap_servers" not in read:
            raise TypeError("mta.kafka.build_producer: bootstrap.servers is missing")
        if read.get("compression_type") == "none":
            del read["compression_type"]
        return KafkaProducer(self, KafkaOptions(freeze(read)))

    def opening(self, options: KafkaOptions) -> Opening[Any]:
        """Return how such a producer comes and goes."""

        async def close(producer: Any) -> None:
            await producer.stop()

        return Opening(("kafka", options), lambda: self._open(options), close)

    async def _open(self, options: KafkaOptions) -> Any:
        library = require_library(_LIBRARY, "kafka")
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        given = dict(options.given)
        root = given.pop("ssl_root", None)
        if given.get("security_protocol", "").endswith("SSL"):
            source = dict(root) if isinstance(root, tuple) else root
            given["ssl_context"] = await make_tls(self._load_secret, source)
        given["bootstrap_servers"] = given["bootstrap_servers"].split(",")
        producer = library.AIOKafkaProducer(**given)
        try:
            async with asyncio.timeout(START_S):
                await producer.start()
        except BaseException:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_S):
                    await producer.stop()
            raise
        return producer

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make the module importable by scripts."""
        namespace.expose("build_producer", self.build_producer, module=MODULE)


@known_to_scripts("Producer")
class KafkaProducer:
    """Sends records to the brokers of one set of options."""

    __slots__ = ("_options", "_producers")

    def __init__(self, producers: KafkaProducers, options: KafkaOptions) -> None:
        self._producers = producers
        self._options = options

    @waiting("kafka.send")
    async def send(self, **record: Any) -> tuple[int, int]:
        """Send a record; return its partition and offset."""
        (result,) = await self._send_all([_read_record(record)])
        if isinstance(result, Exception):
            raise result
        return result

    @waiting("kafka.send_batch")
    async def send_batch(self, records: Iterable[Mapping[str, Any]]) -> tuple[list[int], list[str]]:
        """Send records; return the indexes of those that failed, and why each did."""
        given = [_read_record(record) for record in records]
        if len(given) > BATCH_MAX:
            raise ValueError(f"send_batch: more than {BATCH_MAX} records")
        results = await self._send_all(given)
        failed = [
            (index, str(result))
            for index, result in enumerate(results)
            if isinstance(result, Exception)
        ]
        return [index for index, _ in failed], [reason for _, reason in failed]

    async def _send_all(self, records: list[dict[str, Any]]) -> list[tuple[int, int] | Exception]:
        library = require_library(_LIBRARY, "kafka")
        limit_s = max((record["timeout"] for record in records), default=SEND_S)
        opening = self._producers.opening(self._options)
        try:
            async with (
                asyncio.timeout(START_S + limit_s),
                self._producers.connections.use(opening) as producer,
            ):
                return await asyncio.gather(*(_send(producer, record) for record in records))
        except TimeoutError:
            raise TimeoutError("kafka: the brokers did not answer in time") from None
        except (library.errors.KafkaError, OSError) as error:
            raise ConnectionError(f"kafka: {_told(error)}") from None

    def close(self) -> None:
        """Do nothing: the producer is closed when no script uses it any more."""

    def __repr__(self) -> str:
        return "<kafka producer>"


async def _send(producer: Any, record: dict[str, Any]) -> tuple[int, int] | Exception:
    """Return where a record went, or why it went nowhere."""
    errors = require_library("aiokafka.errors", "kafka")
    headers = [(name, value.encode()) for name, value in record.get("headers", {}).items()]
    try:
        async with asyncio.timeout(record["timeout"]):
            found = await producer.send_and_wait(
                record["topic"], record["payload"], key=record.get("key"), headers=headers
            )
    except TimeoutError:
        return TimeoutError("kafka: the brokers did not answer in time")
    except (errors.MessageSizeTooLargeError, errors.RecordTooLargeError) as error:
        return ValueError(f"kafka: {_told(error)}")
    except (errors.InvalidTopicError, errors.TopicAuthorizationFailedError) as error:
        return ValueError(f"kafka: {_told(error)}")
    except errors.KafkaTimeoutError:
        return TimeoutError("kafka: the brokers did not answer in time")
    except (errors.KafkaError, OSError) as error:
        return ConnectionError(f"kafka: {_told(error)}")
    return found.partition, found.offset


def _read_record(given: Mapping[str, Any]) -> dict[str, Any]:
    record = read_options("send", dict(given), SEND_OPTIONS)
    missing = [name for name in ("topic", "payload") if name not in record]
    if missing:
        raise TypeError(f"send: missing {', '.join(missing)}")
    record.setdefault("timeout", SEND_S)
    return record


def _told(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300]
