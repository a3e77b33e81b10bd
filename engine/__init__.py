"""The mail transfer agent: receive, spool, schedule, ready, deliver, records."""
