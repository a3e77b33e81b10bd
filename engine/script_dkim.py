"""What scripts may import as ``mta.dkim``: makers of signers.

Place in flow: ``engine.script_api`` exposes it; ``msg.dkim_sign`` takes what it makes.
"""

from __future__ import annotations

from engine.base.dkim_signer import DkimSigner, SignerRegistry
from policy.script_api import ScriptNamespace, known_to_scripts

MODULE = "mta.dkim"
known_to_scripts("Signer")(DkimSigner)


def expose_dkim(namespace: ScriptNamespace, signers: SignerRegistry) -> None:
    """Make the makers of signers importable by scripts."""
    for make in (signers.rsa_sha256_signer, signers.ed25519_signer):
        namespace.expose(make.__name__, make, module=MODULE)
