"""``helpers.dkim``: who signs what, from tables.

Place in flow: ``dkim.setup([...])`` makes the signers; a script has a message signed with
``dkim.sign(msg)``, which notes them through ``msg.dkim_sign``.

    [base]
    selector = "s1"
    headers = ["From", "To", "Subject", "Date", "Message-ID"]

    [domain."example.com"]
    filename = "dkim/example.com.key"

    [signature."provider"]
    domain = "provider.example"
    policy = "OnlyIfMissingDomainBlock"

Invariants:
    * The domain of the From header decides, not that of the envelope.
    * What a domain says wins over ``base``, also where it says false.
    * Every key that can be known has been read and tried before the policy loads. One in a Vault
      is fetched when the policy takes effect; mail that comes before it is answered 451.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from engine.base.dkim_signer import (
    SIGNER_OPTIONS,
    DkimSigner,
    SignerRegistry,
    domain_name,
    header_names,
)
from engine.helpers.helper_file import HelperData, find_file, shown
from engine.helpers.helper_setup import part_of_caller, setting_up
from engine.helpers.tenant_guard import from_domains
from engine.helpers.vault_key_ring import VaultKey, VaultKeyRing
from engine.model.address import normal_domain
from engine.model.errors import ConfigurationError
from engine.model.keyword_options import Option, choice, closest, list_of, text
from engine.script_modules.domain_map import DomainMap, normal_key
from engine.script_refusals import reject
from engine.script_views import MessageView
from policy.epoch import Epoch
from policy.script_api import ScriptNamespace

NAME = "dkim"
#: Where keys are looked for that no ``filename`` names: DOMAIN/SELECTOR.key below it.
KEY_FOLDER = Path("/etc/cirrus/dkim")
_TABLES = ("base", "domain", "signature")
#: Where the keys lie in a Vault, below its mount.
_VAULT_PREFIX = "dkim"


class When(Enum):
    """When a signature of its own is made."""

    ALWAYS = "Always"
    ONLY_IF_MISSING_DOMAIN_BLOCK = "OnlyIfMissingDomainBlock"


class Algorithm(Enum):
    """With which kind of key."""

    SHA256 = "sha256"
    ED25519 = "ed25519"


def _always(value: Any) -> str:
    if value not in ("Always", "SignAlways"):
        raise ValueError(f"'Always' is expected, not {value!r}")
    return "Always"


_SHARED: dict[str, Option] = {
    "selector": SIGNER_OPTIONS["selector"],
    "headers": Option(header_names),
    "expiration": SIGNER_OPTIONS["expiration"],
    "header_canonicalization": SIGNER_OPTIONS["header_canonicalization"],
    "body_canonicalization": SIGNER_OPTIONS["body_canonicalization"],
    "over_sign": SIGNER_OPTIONS["over_sign"],
}
_BASE_OPTIONS: dict[str, Option] = {
    **_SHARED,
    "policy": Option(_always),
    "additional_signatures": Option(list_of(text)),
    "vault_mount": Option(text),
    "vault_path_prefix": Option(text),
}
_DOMAIN_OPTIONS: dict[str, Option] = {
    **_SHARED,
    "policy": Option(_always),
    "algo": Option(choice(Algorithm)),
    "filename": Option(text),
}
_SIGNATURE_OPTIONS: dict[str, Option] = {
    **_DOMAIN_OPTIONS,
    "policy": Option(choice(When)),
    "domain": Option(domain_name),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a signer is made once it is known for which domain.

    Attributes:
        options: Those of the signer.
        filename: The file of the key, or its path in the Vault, if one is named.
        algorithm: The kind of key.
        vault: Mount and prefix of the Vault that holds the key; None for files.
    """

    options: Mapping[str, Any]
    filename: str | None
    algorithm: Algorithm
    vault: tuple[str, str] | None

    def key_of(self, domain: str) -> VaultKey | str:
        """Return where the key of a domain is."""
        if self.vault is None:
            return self.filename or str(KEY_FOLDER / domain / f"{self.selector}.key")
        mount, prefix = self.vault
        return VaultKey(mount, self.filename or f"{prefix}/{domain}/{self.selector}")

    @property
    def selector(self) -> str:
        """Return the selector."""
        return str(self.options["selector"])

    def make(
        self, signers: SignerRegistry, domain: str, key: str | Mapping[str, bytes]
    ) -> DkimSigner:
        """Return the signer of a domain.

        Raises:
            ConfigurationError: The key cannot be used.
        """
        is_ed25519 = self.algorithm is Algorithm.ED25519
        make = signers.ed25519_signer if is_ed25519 else signers.rsa_sha256_signer
        return make(domain=domain, key=key, **self.options)


class NamedRecipe(NamedTuple):
    """A recipe and the domain it is for: a signer whose key has to be fetched."""

    recipe: Recipe
    domain: str


class DkimTables:
    """The signers of one epoch."""

    def __init__(self, data: HelperData, epoch: Epoch, keys: VaultKeyRing | None) -> None:
        self._epoch = epoch
        self._keys = keys
        # Of the epoch alone: it is made in the thread that loads, and used in the loop's later.
        self._signers = SignerRegistry()
        self._domains: DomainMap = DomainMap()
        self._additional: list[tuple[When, DkimSigner | NamedRecipe]] = []
        #: The keys that are known to be wanted of a Vault.
        self.vault_keys: list[VaultKey] = []
        for name in data.values.keys() - set(_TABLES):
            data.error(f"unknown table {name!r}{closest(name, _TABLES)}", name)
        self._base = data.read(("base",), data.table("base"), _BASE_OPTIONS)
        mount = self._base.get("vault_mount")
        prefix = self._base.get("vault_path_prefix", _VAULT_PREFIX)
        self._vault = None if mount is None else (mount, prefix)
        if mount is None and "vault_path_prefix" in self._base:
            text = "base: vault_path_prefix: there is no vault_mount, keys are taken from files"
            data.warn(text, "base", "vault_path_prefix")
        self._read_domains(data)
        self._read_signatures(data)
        del self._epoch

    # -- reading ------------------------------------------------------------------------------

    def _read_domains(self, data: HelperData) -> None:
        taken: set[str] = set()
        for name, table in data.tables("domain"):
            path = ("domain", name)
            recipe = self._recipe(data, path, data.read(path, table, _DOMAIN_OPTIONS))
            try:
                key = normal_key(name)
            except ValueError as error:
                data.error(str(error), *path)
                continue
            if key in taken:
                data.error(f"the domain {name!r} stands here a second time", *path)
            taken.add(key)
            if recipe is None:
                continue
            if not key.startswith("*"):
                self._domains[key] = self._signer(data, path, recipe, key)
            else:
                _try_key(data, path, recipe)
                self._domains[key] = recipe

    def _read_signatures(self, data: HelperData) -> None:
        made: dict[str, tuple[When, DkimSigner | NamedRecipe | None]] = {}
        for name, table in data.tables("signature"):
            path = ("signature", name)
            options = data.read(path, table, _SIGNATURE_OPTIONS)
            domain = options.pop("domain", None)
            when = choice(When)(options.pop("policy", When.ALWAYS))
            recipe = self._recipe(data, path, options)
            made[name] = (when, None)
            if domain is None:
                if "domain" not in table:
                    data.error(f"{shown(path)}: domain is missing", *path)
            elif recipe is not None:
                made[name] = (when, self._signer(data, path, recipe, domain_name(domain)))
        for index, name in enumerate(self._base.get("additional_signatures", ())):
            if name not in made:
                text = f"base: additional_signatures: {name!r} is not defined{closest(name, made)}"
                data.error(text, "base", "additional_signatures", index)
                continue
            when, signer = made[name]
            if signer is not None:
                self._additional.append((when, signer))

    def _recipe(
        self, data: HelperData, path: tuple[str, ...], given: dict[str, Any]
    ) -> Recipe | None:
        """Return how a table has mail signed, with what ``base`` says where it is silent."""
        options = {
            name: given.get(name, self._base.get(name))
            for name in _SHARED
            if name in given or name in self._base
        }
        missing = [name for name in ("selector", "headers") if name not in options]
        for name in missing:
            # One that does not fit has been told about.
            if name not in data.table(*path) and name not in data.table("base"):
                data.error(f"{shown(path)}: {name} is missing, here and in base", *path)
        if missing:
            return None
        filename = given.get("filename")
        if filename is not None and self._vault is None:
            filename = str(find_file(self._epoch, filename))
        algorithm = choice(Algorithm)(given.get("algo", Algorithm.SHA256))
        return Recipe(options, filename, algorithm, self._vault)

    def _signer(
        self, data: HelperData, path: tuple[str, ...], recipe: Recipe, domain: str
    ) -> DkimSigner | NamedRecipe | None:
        key = recipe.key_of(domain)
        if isinstance(key, VaultKey):
            self.vault_keys.append(key)
            return NamedRecipe(recipe, domain)
        try:
            return recipe.make(self._signers, domain, key)
        except (ConfigurationError, ValueError, TypeError) as error:
            data.error(f"{shown(path)}: {str(error).partition(': ')[2]}", *path, "filename")
            return None

    # -- signing ------------------------------------------------------------------------------

    def sign(self, msg: MessageView) -> None:
        """Note the signers of a message, that of its domain first."""
        domain = _from_domain(msg)
        found = self._domains.get(domain)
        if isinstance(found, Recipe):
            found = NamedRecipe(found, domain)
        if found is not None:
            msg.dkim_sign(self._made(found))
        for when, signer in self._additional:
            if found is None or when is When.ALWAYS:
                msg.dkim_sign(self._made(signer))

    def _made(self, signer: DkimSigner | NamedRecipe) -> DkimSigner:
        if isinstance(signer, DkimSigner):
            return signer
        recipe, domain = signer
        key = recipe.key_of(domain)
        if isinstance(key, str):
            return recipe.make(self._signers, domain, key)
        octets = self._keys.find(key) if self._keys is not None else None
        if octets is None:
            reject(451, "4.7.5 the key to sign with is not at hand yet")
            raise AssertionError("a refusal does not return")
        return recipe.make(self._signers, domain, {"key_data": octets})


def _try_key(data: HelperData, path: tuple[str, ...], recipe: Recipe) -> None:
    """Read the key that all domains of a wildcard share; without a file, each has its own."""
    if recipe.filename is None or recipe.vault is not None:
        return
    try:
        recipe.make(SignerRegistry(), "any.example", recipe.filename)
    except (ConfigurationError, ValueError, TypeError) as error:
        data.error(f"{shown(path)}: {str(error).partition(': ')[2]}", *path, "filename")


def _from_domain(msg: MessageView) -> str:
    try:
        domains = from_domains(msg)
        if len(domains) == 1:
            return normal_domain(domains[0])
    except ValueError:
        domains = []
    count = "no address" if not domains else f"{len(domains)} addresses"
    reject(552, f"5.6.0 the From header holds {count}, and mail is signed for one")
    raise AssertionError("a refusal does not return")


class DkimHelper:
    """``helpers.dkim`` of a node.

    Args:
        keys: Has the keys of a Vault; None where scripts are only checked.
    """

    def __init__(self, keys: VaultKeyRing | None = None) -> None:
        self._keys = keys

    def setup(self, files: Any) -> None:
        """Make the signers that some files define, for ``dkim.sign(msg)``.

        Args:
            files: Names of TOML or JSON files, or tables; later ones override.
        """
        with setting_up(NAME) as call:
            if call is not None:
                call.keep(NAME, DkimTables(call.read(files), call.epoch, self._keys))

    @staticmethod
    def sign(msg: MessageView) -> None:
        """Have a message signed for the domain of its From header, and by additional signatures.

        Call it last in message_received: what changes a message afterwards breaks the signature.
        """
        if not isinstance(msg, MessageView):
            raise TypeError("wants the message of the event")
        tables: DkimTables = part_of_caller(NAME)
        tables.sign(msg)

    def begin(self, epoch: Epoch) -> None:
        """Fetch the keys that an epoch wants; it has just become the current one."""
        tables: DkimTables | None = epoch.native.parts.get(NAME)
        if tables is not None and self._keys is not None:
            self._keys.fetch(tables.vault_keys)

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make it importable by scripts."""
        for function in (self.setup, self.sign):
            namespace.expose(function.__name__, function, module=f"helpers.{NAME}")
