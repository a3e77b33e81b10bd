"""Policy scripts: declare, confine, load, reload, call. Knows no program, owns no tasks."""
