"""The stubs of modules that reach out have the members and options of the real ones."""

from __future__ import annotations

import ast
import inspect

import pytest

from engine.model.redis_options import REDIS_OPTIONS
from engine.script_modules import amqp_publisher, kafka_producer, nats_publisher
from engine.script_modules.http_client import OPTIONS as HTTP_OPTIONS
from engine.script_modules.http_client import HttpClient, HttpRequest
from engine.script_modules.http_response import HttpHeaders, HttpResponse
from engine.script_modules.kafka_producer import KafkaProducer
from engine.script_modules.name_lookup import NameLookup
from engine.script_modules.nats_publisher import NatsConnection
from engine.script_modules.redis_query import RedisConnection
from engine.script_modules.sqlite_file import SqliteFile, SqliteFiles
from tests.architecture.test_stubs import keywords, stub

_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def class_of(module, name):
    (found,) = [
        node for node in stub(module).body if isinstance(node, ast.ClassDef) and node.name == name
    ]
    return found


def function_of(module, name):
    (found,) = [
        node for node in stub(module).body if isinstance(node, _FUNCTIONS) and node.name == name
    ]
    return found


def methods(node):
    return {one.name: one for one in node.body if isinstance(one, _FUNCTIONS)}


@pytest.mark.parametrize(
    ("module", "name", "real"),
    [
        ("mta.http", "Client", HttpClient),
        ("mta.http", "Request", HttpRequest),
        ("mta.http", "Response", HttpResponse),
        ("mta.kafka", "Producer", KafkaProducer),
        ("mta.nats", "Connection", NatsConnection),
        ("mta.redis", "Connection", RedisConnection),
        ("mta.sqlite", "File", SqliteFile),
    ],
)
def test_a_class_has_the_members_of_the_real_one(module, name, real):
    members = {one for one in methods(class_of(module, name)) if not one.startswith("_")}

    assert members == {one for one in dir(real) if not one.startswith("_")}


@pytest.mark.parametrize(
    ("module", "name", "real"),
    [
        ("mta.http", "Request", HttpRequest),
        ("mta.nats", "Connection", NatsConnection),
        ("mta.redis", "Connection", RedisConnection),
        ("mta.sqlite", "File", SqliteFile),
    ],
)
def test_what_waits_is_async_and_has_the_parameters_of_the_real_one(module, name, real):
    for method, node in methods(class_of(module, name)).items():
        function = inspect.unwrap(getattr(real, method))
        assert isinstance(node, ast.AsyncFunctionDef) == inspect.iscoroutinefunction(function)
        wanted = set(inspect.signature(function).parameters) - {"self"}
        if "options" not in wanted:
            assert (
                keywords(node) | {node.args.vararg.arg if node.args.vararg else ""} - {""} == wanted
            ), method


def test_headers_are_a_mapping_with_one_method_more():
    assert set(dir(HttpHeaders)) - set(dir(dict)) >= {"get_all"}


@pytest.mark.parametrize(
    ("module", "name", "options"),
    [
        ("mta.http", "build_client", HTTP_OPTIONS),
        ("mta.nats", "connect", {**nats_publisher.OPTIONS, **nats_publisher.NOT_IN_FORCE}),
        ("mta.redis", "open", REDIS_OPTIONS),
    ],
)
def test_a_function_has_the_options_that_are_read(module, name, options):
    assert keywords(function_of(module, name)) == set(options)


def test_publishing_by_amqp_has_the_options_that_are_read():
    known = set(inspect.signature(amqp_publisher.AmqpPublisher.basic_publish).parameters)
    node = function_of("mta.amqp", "basic_publish")
    table = {
        one.target.id
        for one in class_of("mta.amqp", "ConnectionOptions").body
        if isinstance(one, ast.AnnAssign)
    }

    assert keywords(node) == known - {"self", "properties"} | set(amqp_publisher.MESSAGE_OPTIONS)
    assert table == set(amqp_publisher.CONNECTION_OPTIONS)


def test_records_have_the_options_that_are_read():
    node = methods(class_of("mta.kafka", "Producer"))["send"]

    assert keywords(node) == set(kafka_producer.SEND_OPTIONS)


@pytest.mark.parametrize(
    "name", ["lookup_addr", "lookup_mx", "lookup_ptr", "lookup_txt", "rbl_lookup"]
)
def test_look_ups_have_the_parameters_of_the_real_ones(name):
    node = function_of("mta.dns", name)

    assert isinstance(node, ast.AsyncFunctionDef)
    assert keywords(node) == set(inspect.signature(getattr(NameLookup, name)).parameters) - {"self"}


def test_opening_a_database_has_the_parameters_of_the_real_one():
    real = set(inspect.signature(SqliteFiles.open).parameters) - {"self"}

    assert keywords(function_of("mta.sqlite", "open")) == real
