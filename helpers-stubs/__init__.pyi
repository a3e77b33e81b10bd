"""Declarative helpers: each reads one format of TOML or JSON and answers events by it.

``from helpers import queues, sources``, then ``queues.setup(["queues.toml"])`` at the top of the
script. The files are watched and reloaded with the script.
"""

from . import dkim as dkim
from . import listener_domains as listener_domains
from . import log_hooks as log_hooks
from . import policy_utils as policy_utils
from . import queues as queues
from . import rollup as rollup
from . import shaping as shaping
from . import sources as sources
