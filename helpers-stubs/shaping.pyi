"""Egress paths from shaping files, and the loop with the traffic shaping automation."""

from collections.abc import Mapping, Sequence
from typing import Any

def setup(
    files: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] = (),
    *,
    extra_files: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] = (),
    publish: str | Sequence[str] | None = None,
    subscribe: str | Sequence[str] | None = None,
    automation: bool | None = None,
    cache_ttl: float | str | None = None,
    load_validation_options: Mapping[str, Any] | None = None,
    validation_options: Mapping[str, Any] | None = None,
    pre_filter: bool | None = None,
    skip_log_record_types: Sequence[str] | None = None,
    additional_skip_log_record_types: Sequence[str] | None = None,
    back_pressure: int | None = None,
    publish_timeout: float | str | None = None,
    publish_pool_idle_timeout: float | str | None = None,
    publish_connection_verbose: bool | None = None,
    tsa_queue_config: Mapping[str, Any] | None = None,
    no_default_files: bool | None = None,
    allow_stale_shaping_data: bool | None = None,
    shaping_data_populate_timeout: float | str | None = None,
    retry_shaping_data_fetch_on_populate_timeout: bool | None = None,
) -> None:
    """Answer for all egress paths from shaping files, and follow the automation.

    Args:
        files: Shaping files, URLs or tables; later ones override.
        extra_files: Further ones, laid over them.
        publish: URLs of TSA daemons that get the records of this node, each of them all.
        subscribe: URLs of TSA daemons whose decisions count: of the first that is reached.
        automation: False has the node obey no daemon; records go out all the same.
        cache_ttl: How often URLs and the DNS are looked at anew.
        load_validation_options: How much each finding weighs, and the timeout of URLs.
        validation_options: The same.
        pre_filter: False sends all records, not only those that a rule could count.
        skip_log_record_types: Types of records that are not sent, instead of the usual ones.
        additional_skip_log_record_types: Further types.
        back_pressure: Records that may wait in memory for the disk.
        publish_timeout: How long a daemon may take to answer.
        publish_pool_idle_timeout: Known, without effect.
        publish_connection_verbose: Known, without effect.
        tsa_queue_config: Known, without effect.
        no_default_files: Known, without effect: there are no default files.
        allow_stale_shaping_data: Known, without effect.
        shaping_data_populate_timeout: Known, without effect.
        retry_shaping_data_fetch_on_populate_timeout: Known, without effect.
    """

def resolve(routing_domain: str, egress_source: str, site_name: str) -> dict[str, Any]:
    """The options that the files give a path, for a handler that changes some.

    Args:
        routing_domain: The domain whose MX is used.
        egress_source: The egress source.
        site_name: The site that takes the mail.
    """
