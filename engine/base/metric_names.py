"""The metrics of the engine, declared once: names, types and labels as dashboards know them.

Place in flow: handed to ``engine.base.metrics.Metrics`` by the composition root; the reference
page of metrics is made from this table.
"""

from __future__ import annotations

from engine.base.metrics import DEFAULT_BUCKETS, MetricDeclaration, MetricKind


def _counter(name: str, help_text: str, *labels: str) -> MetricDeclaration:
    return MetricDeclaration(name, MetricKind.COUNTER, labels, help_text)


def _gauge(name: str, help_text: str, *labels: str) -> MetricDeclaration:
    return MetricDeclaration(name, MetricKind.GAUGE, labels, help_text)


def _histogram(
    name: str, help_text: str, *labels: str, buckets: tuple[float, ...] = DEFAULT_BUCKETS
) -> MetricDeclaration:
    return MetricDeclaration(name, MetricKind.HISTOGRAM, labels, help_text, buckets)


_SOURCE = ("provider", "source", "pool")
_POOL = ("provider", "pool")
_POP_BUCKETS = (0.25, 0.5, 1.0, 2.5, 3.0, 5.0, 10.0, 15.0)

RECEPTION_METRICS = (
    _counter("total_messages_received", "messages received", "service"),
    _counter("total_connections_denied", "inbound connections refused", "service"),
    _counter("smtp_server_rejections", "commands refused with a 4xx or 5xx reply", "service"),
    _histogram("smtpsrv_read_data_duration", "seconds to receive the data of a message"),
    _histogram("smtpsrv_process_data_duration", "seconds to process the data and enqueue"),
    _histogram("smtpsrv_transaction_duration", "seconds of a whole inbound transaction"),
    _histogram("dkim_signer_sign", "seconds to sign the messages of a transaction"),
)

SCHEDULE_METRICS = (
    _gauge("scheduled_count", "messages in a scheduled queue", "queue"),
    _gauge("scheduled_count_total", "messages in all scheduled queues"),
    _gauge("scheduled_queue_count", "scheduled queues alive"),
    _gauge("scheduled_by_domain", "scheduled messages of a domain", "domain"),
    _gauge("scheduled_by_tenant", "scheduled messages of a tenant", "tenant"),
    _gauge("scheduled_by_tenant_campaign", "scheduled messages", "tenant", "campaign"),
    _counter("delayed_due_to_message_rate_throttle", "held by the queue's message rate", "queue"),
    _counter("delayed_due_to_ready_queue_full", "held because the ready queue was full", "queue"),
    _counter("delayed_due_to_throttle_insert_ready", "held by the script's throttle", "queue"),
    _histogram(
        "timeq_reinsert_tardiness",
        "seconds a message was promoted after its due time",
        buckets=(*_POP_BUCKETS, 30.0, 45.0, 60.0, 90.0, 180.0, 360.0, 720.0),
    ),
)

READY_METRICS = (
    _gauge("ready_count", "messages in a ready queue", "service"),
    _counter("ready_full", "inserts refused because the ready queue was full", "service"),
    _gauge("queued_count_by_provider", "scheduled and ready messages", "provider"),
    _gauge("queued_count_by_provider_and_pool", "scheduled and ready messages", *_POOL),
)

DELIVERY_METRICS = (
    _counter("total_messages_delivered", "messages delivered", "service"),
    _counter("total_messages_delivered_by_provider", "messages delivered", "provider"),
    _counter("total_messages_delivered_by_provider_and_source", "messages delivered", *_SOURCE),
    _counter("total_messages_fail", "permanent failures", "service"),
    _counter("total_messages_fail_by_provider", "permanent failures", "provider"),
    _counter("total_messages_fail_by_provider_and_source", "permanent failures", *_SOURCE),
    _counter("total_messages_transfail", "transient failures", "service"),
    _counter("total_messages_transfail_by_provider", "transient failures", "provider"),
    _counter("total_messages_transfail_by_provider_and_source", "transient failures", *_SOURCE),
    _gauge("connection_count", "connections open now", "service"),
    _gauge("connection_count_by_provider", "outbound connections open now", "provider"),
    _gauge("connection_count_by_provider_and_pool", "outbound connections open now", *_POOL),
    _counter("total_connection_count", "connections ever made", "service"),
    _counter(
        "egress_source_connection_failures_total",
        "connections that failed for the source or its proxy",
        "source",
        "kind",
    ),
    _gauge("egress_source_health_suspended", "1 while a source is taken out", "source", "reason"),
    _counter(
        "egress_source_health_suspensions_total", "times a source was taken out", "source", "reason"
    ),
    _counter("proxy_connection_failures", "connections that an egress proxy did not make"),
    _counter("bind_failures", "source addresses that could not be bound"),
    _counter("dispatcher_watchdog_aborted_total", "dispatchers ended for no progress", "service"),
    _histogram("deliver_message_latency_rollup", "seconds of a delivery attempt", "service"),
    _gauge("dns_mx_resolve_in_progress", "MX look-ups under way"),
    _counter("dns_mx_resolve_status_ok", "MX look-ups that succeeded"),
    _counter("dns_mx_resolve_status_fail", "MX look-ups that failed"),
    _counter("dns_mx_resolve_cache_hit", "MX look-ups answered from the cache"),
    _counter("dns_mx_resolve_cache_miss", "MX look-ups that went to the DNS"),
)

RECORD_METRICS = (
    _counter("log_submit_full", "records that found their sink full", "logger"),
    _counter("log_hook_backlog_count", "records that met a hook's back pressure", "logger"),
    _counter("log_records_dropped_total", "records lost because a sink stayed full", "logger"),
    _counter("log_write_errors_total", "failed writes of log segments", "logger"),
    _counter("trace_spans_sent_total", "spans that the collector of traces took"),
    _counter("trace_spans_dropped_total", "spans lost: full, or failed to be sent", "reason"),
)

SPOOL_METRICS = (
    _gauge("rocks_spool_actual_delayed_write_rate", "bytes a second, while writes wait", "path"),
    _gauge("rocks_spool_cache_total", "bytes of the block cache", "path"),
    _gauge("rocks_spool_compaction_pending", "1 while a compaction is due", "path"),
    _gauge("rocks_spool_estimate_pending_compaction_bytes", "bytes to compact", "path"),
    _gauge("rocks_spool_mem_table_readers_total", "bytes of table readers", "path"),
    _gauge("rocks_spool_mem_table_total", "bytes of memtables", "path"),
    _gauge("rocks_spool_mem_table_unflushed", "bytes of memtables not flushed yet", "path"),
    _gauge("rocks_spool_num_running_compactions", "compactions under way", "path"),
    _gauge("rocks_spool_write_stopped", "1 while the database takes no writes", "path"),
)

NODE_METRICS = (
    _gauge("disk_free_bytes", "free bytes of a monitored path", "name"),
    _gauge("disk_free_percent", "free space of a monitored path, percent", "name"),
    _gauge("disk_free_inodes", "free inodes of a monitored path", "name"),
    _gauge("disk_free_inodes_percent", "free inodes of a monitored path, percent", "name"),
    _gauge("memory_usage", "bytes of memory in use"),
    _gauge("memory_limit", "soft limit of memory, bytes"),
    _gauge("memory_low_thresh", "bytes of memory use that count as low memory"),
    _counter("memory_low_count", "times memory became low"),
    _counter("memory_over_limit_count", "times memory use passed the soft limit"),
    _gauge("message_count", "messages in memory"),
    _gauge("message_meta_resident_count", "messages whose metadata is in memory"),
    _gauge("message_data_resident_count", "messages whose body is in memory"),
    _histogram("message_save_latency", "seconds to store a message"),
    _histogram("message_data_load_latency", "seconds to read a body from the spool"),
    _histogram("message_meta_load_latency", "seconds to read an envelope from the spool"),
    _gauge("rocks_spool_background_errors", "background errors of the spool", "path"),
    _gauge("rocks_spool_load_shed_active", "1 while the spool takes no mail", "path"),
    *SPOOL_METRICS,
    _gauge("process_cpu_usage_sum", "CPU use of the process, percent of one core"),
    _gauge("process_cpu_usage_normalized", "CPU use of the process, percent of all cores"),
    _gauge("system_cpu_usage_sum", "CPU use of the machine, percent of one core"),
    _gauge("system_cpu_usage_normalized", "CPU use of the machine, percent of all cores"),
    _gauge("node_takes_mail", "1 while mail is taken, 0 while clients are told to come later"),
    _counter("task_defects_total", "tasks that ended with an unexpected error"),
)

SHARED_LIMIT_METRICS = (
    _gauge("redis_throttles_shared", "1 while limits are shared by way of Redis, 0 while alone"),
    _gauge("redis_throttles_nodes", "nodes that share limits, as last seen"),
    _histogram(
        "redis_operation_latency",
        "seconds that a round trip to Redis took",
        "service",
        "operation",
        "status",
    ),
)

AUTOMATION_METRICS = (
    _gauge("tsa_reachable", "1 while decisions of a TSA are followed, 0 while none can be reached"),
    _gauge("tsa_decisions_held", "suspensions and bounces of TSAs that this node obeys"),
    _gauge("tsa_overlay_active", "1 while an overlay of a TSA is laid over the shaping files"),
    _gauge("tsa_feed_backlog_bytes", "records on disk that a TSA has not taken, bytes", "url"),
    _counter("tsa_feed_given_up_total", "records too old or too many for a TSA", "url"),
    _counter("tsa_feed_refused_total", "records that a TSA called none", "url"),
    _counter("tsa_feed_dropped_total", "records for TSAs that found no room in memory"),
    _counter("tsa_bad_frames_total", "frames of a TSA that were skipped"),
    _counter("shaping_load_total", "loads of shaping files that changed something", "result"),
    _gauge("shaping_load_failing", "1 while shaping files have errors; the last good ones stay"),
)

POLICY_METRICS = (
    _counter("lua_event_started", "policy handlers started", "event"),
    _histogram("lua_event_latency", "seconds a policy handler took", "event"),
    _histogram("user_lua_latency", "seconds of timers that scripts started", "label"),
    _counter("lua_load_count", "loads of the policy script"),
    _counter("policy_reload_total", "policy reloads", "result"),
    _counter("policy_handler_errors_total", "policy handlers that failed", "event"),
    _counter("policy_handler_overruns_total", "policy handlers that overran a budget", "event"),
    _gauge("policy_breaker_open", "1 while a handler is not run after overruns", "event"),
    _counter("regex_fallback_total", "uses of the slower regular expression engine", "where"),
    _gauge("lruttl_cache_size", "entries in a cache", "cache_name"),
    _counter("lruttl_hit_count", "cache hits", "cache_name"),
    _counter("lruttl_miss_count", "cache misses", "cache_name"),
    _counter("lruttl_lookup_count", "cache look-ups", "cache_name"),
    _counter("lruttl_evict_count", "entries evicted for room", "cache_name"),
)

ENGINE_METRICS = (
    *RECEPTION_METRICS,
    *SCHEDULE_METRICS,
    *READY_METRICS,
    *DELIVERY_METRICS,
    *RECORD_METRICS,
    *NODE_METRICS,
    *SHARED_LIMIT_METRICS,
    *AUTOMATION_METRICS,
    *POLICY_METRICS,
)
