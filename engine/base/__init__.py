"""Runtime ground shared by the three daemons: clock, tasks, metrics, files."""
