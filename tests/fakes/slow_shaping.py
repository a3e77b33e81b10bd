"""Shaping files resolved the slow and obvious way: one pass over all sections for each question.

Written from the facts of the file format alone, on plain tables; takes nothing of the engine, but
expects files without mistakes. What the DNS says of a domain comes as a table from domains to
``(site name, MX hosts)``, to ``"null"`` or to ``"fail"``.
"""

from __future__ import annotations

from typing import Any

STRUCTURE = ("mx_rollup", "replace_base", "automation", "sources", "match")
BY_ENTRY = (
    "additional_connection_limits",
    "additional_message_rate_throttles",
    "additional_source_selection_rates",
)
SHARED = {
    "provider_connection_limit": ("additional_connection_limits", "limit"),
    "provider_max_message_rate": ("additional_message_rate_throttles", "rate"),
    "provider_source_selection_rate": ("additional_source_selection_rates", "selection-rate"),
}


def lay_over(options: dict[str, Any], more: dict[str, Any]) -> None:
    """Change options by the options of a section that comes later."""
    for name, value in more.items():
        if name in STRUCTURE:
            continue
        if name in BY_ENTRY:
            options[name] = {**options.get(name, {}), **value}
        else:
            options[name] = value


def sections(files: list[dict], wanted) -> list[dict]:
    """Return the sections whose place is wanted, in order, from the last replace_base on."""
    found = []
    for file in files:
        for key, table in file.items():
            if key == "provider":
                found += [one for name, one in table.items() if wanted("provider", name, one)]
            elif key == "default":
                found += [table] if wanted("default", None, table) else []
            elif wanted("domain", key, table):
                found.append(table)
    while any(one.get("replace_base") for one in found[1:]):
        found.pop(0)
    return found


def gather(parts: list[dict], source: str | None) -> dict[str, Any]:
    """Return what sections say in general, or for one source."""
    options: dict[str, Any] = {}
    for one in parts:
        lay_over(options, one if source is None else one.get("sources", {}).get(source, {}))
    return options


def default_sections(files):
    return sections(files, lambda kind, name, table: kind == "default")


def provider_sections(files, provider):
    return sections(files, lambda kind, name, table: kind == "provider" and name == provider)


def site_sections(files, routes, site):
    def is_for_site(kind, name, table):
        if kind != "domain" or not table.get("mx_rollup", True):
            return False
        route = routes[name.lower()]
        return route not in ("null", "fail") and route[0] == site

    return sections(files, is_for_site)


def domain_sections(files, domain):
    return sections(
        files,
        lambda kind, name, table: (
            kind == "domain" and not table.get("mx_rollup", True) and name.lower() == domain
        ),
    )


def providers(files: list[dict]) -> list[str]:
    names: list[str] = []
    for file in files:
        for name in file.get("provider", {}):
            if name not in names:
                names.append(name)
    return names


def belongs(files, provider, domain, mx_hosts) -> bool:
    if "/" in domain:
        return False
    terms = [term for one in provider_sections(files, provider) for term in one.get("match", [])]
    for term in terms:
        if "DomainSuffix" in term and domain.endswith(term["DomainSuffix"]):
            return True
    if not mx_hosts:
        return False
    for host in mx_hosts:
        host = host.lower().rstrip(".")
        met = [
            term
            for term in terms
            if ("MXSuffix" in term and host.endswith(term["MXSuffix"]))
            or ("HostName" in term and host == term["HostName"])
        ]
        if not met:
            return False
    return True


def resolve(files, routes, domain, source, site, mx_hosts) -> dict[str, Any]:
    """Return the options of a path."""
    at_site = site_sections(files, routes, site)
    at_domain = domain_sections(files, domain)
    matching = [name for name in providers(files) if belongs(files, name, domain, mx_hosts)]
    options: dict[str, Any] = {}
    if not any(one.get("replace_base") for one in at_site + at_domain):
        lay_over(options, gather(default_sections(files), None))
        lay_over(options, gather(default_sections(files), source))
        for name in matching:
            lay_over(options, gather(provider_sections(files, name), None))
        for name in matching:
            lay_over(options, gather(provider_sections(files, name), source))
        for name in SHARED:
            options.pop(name, None)
        for name in matching:
            parts = provider_sections(files, name)
            options["provider_name"] = name
            own = {**gather(parts, None), **gather(parts, source)}
            for shared, (option, suffix) in SHARED.items():
                if shared in own:
                    key = f"shaping-provider-{name}-{source}-{suffix}"
                    lay_over(options, {option: {key: own[shared]}})
    lay_over(options, gather(at_site, None))
    lay_over(options, gather(at_domain, None))
    lay_over(options, gather(at_site, source))
    lay_over(options, gather(at_domain, source))
    return {name: value for name, value in options.items() if value != {}}


def rules(files, routes, domain, site, mx_hosts) -> list[tuple[Any, bool]]:
    """Return the first pattern of each rule that applies, in order, and whether it acts by site."""
    groups = [(default_sections(files), True)]
    for name in providers(files):
        if belongs(files, name, domain, mx_hosts):
            parts = provider_sections(files, name)
            terms = [term for part in parts for term in part.get("match", [])]
            groups.append((parts, any("DomainSuffix" not in term for term in terms)))
    groups.append((site_sections(files, routes, site), True))
    groups.append((domain_sections(files, domain), False))
    return [
        (rule["regex"], is_rollup)
        for parts, is_rollup in groups
        for one in parts
        for rule in one.get("automation", [])
        if rule.get("enabled", True)
    ]
