"""What ``cirrus --help`` says of each command, in sections: known without loading any of them.

Place in flow: ``engine.base.command_line`` lists commands by it. To load all of them would take
seconds, which nobody who presses the tabulator has; a test compares each line with its command.

Invariants:
    * A command that is not named here is loaded, and listed at the end: other distributions may
      register their own.
"""

from __future__ import annotations

#: Sections, in the order that they are shown: names of commands with their short help.
SECTIONS: dict[str, dict[str, str]] = {
    "Programs": {
        "run": "Run one MTA node in the foreground.",
        "tsa": "Run the traffic shaping automation daemon in the foreground.",
        "proxy": "Run the egress proxy in the foreground.",
    },
    "Look": {
        "status": "Show how the node is, on one screen.",
        "why": "Say what holds a message or a queue.",
        "top": "Watch a node on a whole screen.",
        "queues": "List queues, the fullest first.",
        "queue-summary": "Sum up queues, with what holds them.",
        "provider-summary": "Sum up providers, the busiest first.",
        "messages": "List queued messages.",
        "inspect-message": "Show one message that waits.",
        "inspect-sched-q": "Show a scheduled queue.",
        "inspect-ready-q": "Show a ready queue.",
        "ready-q-states": "Show what limits ready queues.",
        "resolve-egress-path": "Show the way out to a domain.",
        "shaping-explain": "Explain an egress path, option by option.",
        "decisions": "List what the automation decided.",
        "policy": "Show the policy as it runs.",
        "bounce-list": "List bounces.",
        "suspend-list": "List suspended scheduled queues.",
        "suspend-ready-q-list": "List the suspended ready queues.",
        "suspend-source-list": "List the egress sources that are out, also for their health.",
        "xfer-list": "List transfers to other nodes.",
        "drain-status": "Say what is left on a node that is being drained.",
        "trace-smtp-server": "Watch incoming SMTP sessions.",
        "trace-smtp-client": "Watch outgoing SMTP sessions.",
        "audit": "Show who did what to the node.",
    },
    "Act on mail": {
        "hold": "Hold messages back.",
        "release": "Let held messages go.",
        "send-now": "Have messages due at once.",
        "move": "Move messages to other queues.",
        "expire": "Give messages up now.",
        "bounce": "Give up mail.",
        "bounce-cancel": "End a bounce.",
        "suspend": "Hold mail of scheduled queues.",
        "suspend-cancel": "End a suspension of scheduled queues.",
        "suspend-ready-q": "Hold mail of a ready queue.",
        "suspend-ready-q-cancel": "End the suspension of a ready queue.",
        "suspend-source": "Take an egress source out.",
        "suspend-source-cancel": "Let an egress source back.",
        "rebind": "Move waiting mail to other queues.",
        "abort-ready-q-conn": "End one session of a ready queue.",
        "xfer": "Transfer mail to another node.",
        "xfer-cancel": "Bring back mail that waits to be transferred.",
    },
    "Node": {
        "reload": "Load the policy again.",
        "automation": "Show, switch off or on the automation.",
        "shared-limits": "Show whether limits are shared with other nodes.",
        "drain": "Empty a node into another one.",
        "drain-cancel": "End a drain; the node takes mail again.",
        "set-log-filter": "Set how much the diagnostic log says.",
        "spool-compact": "Give the disk space of dead mail back.",
        "machine-info": "Show what machine and what process this is.",
        "memory-stats": "Show what takes memory in the node.",
        "task-dump": "Show what the tasks of the node wait for.",
    },
    "Tools": {
        "check": "Validate configuration; start nothing.",
        "tail": "Print log records as they are written.",
        "spool": "Look at the spool of a node that is stopped.",
        "completion": "Print what makes a shell complete commands, options and live names.",
        "demo": "Show a node at work on loopback.",
        "sink": "Take mail, defer it and refuse it, as a test asks.",
        "traffic": "Send generated mail, and say how it was taken.",
    },
}
#: The section of commands that are not named above.
OTHERS = "More"

_HELP = {name: text for section in SECTIONS.values() for name, text in section.items()}


def known_help(name: str) -> str | None:
    """Return the short help of a command of ours; None for another one."""
    return _HELP.get(name)


def sections_of(names: list[str]) -> list[tuple[str, list[str]]]:
    """Return names in their sections, those that no section has at the end.

    Args:
        names: What is registered.
    """
    left = set(names)
    found = []
    for section, known in SECTIONS.items():
        here = [name for name in known if name in left]
        left -= set(here)
        if here:
            found.append((section, here))
    if left:
        found.append((OTHERS, sorted(left)))
    return found
