"""The ``itertools`` of scripts: what is endless or combinatorial counts its items.

Place in flow: one of the ``stand_ins``. What only passes items on stays the real thing:
its sources are counted.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from policy.errors import LimitExceededError

if TYPE_CHECKING:
    from policy.guards import Guards

MAX_REPEATED = 32
MAX_POOL = 10_000
_PLAIN = ["compress", "islice", "pairwise"]
# Their function may add to what they go through.
_CALLING = ["dropwhile", "filterfalse", "starmap", "takewhile"]


def itertools_names(guards: Guards) -> dict[str, Any]:
    """Return what the stand-in offers."""

    def counted(make: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def iterate(*args: Any, **options: Any) -> Iterator[Any]:
            return guards.counted(make(*args, **options))

        return iterate

    def combined(make: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def iterate(items: Any, *args: Any, **options: Any) -> Iterator[Any]:
            for amount in (*args, *options.values()):
                if isinstance(amount, int) and amount > MAX_REPEATED:
                    raise LimitExceededError(f"groups of {amount} are more than {MAX_REPEATED}")
            return guards.counted(make(_pool(items), *args, **options))

        return iterate

    def product(*pools: Any, repeat: int = 1) -> Iterator[Any]:
        if repeat * len(pools) > MAX_REPEATED:
            raise LimitExceededError(f"a product of more than {MAX_REPEATED} pools is not allowed")
        return guards.counted(itertools.product(*map(_pool, pools), repeat=repeat))

    def accumulate(items: Any, func: Any = None, *, initial: Any = None) -> Iterator[Any]:
        return itertools.accumulate(guards.counted(items), func or _added, initial=initial)

    bound = guards.operators()["@added"]

    def _added(left: Any, right: Any) -> Any:
        return operator.add(bound(left), bound(right))

    def calling(make: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        return lambda function, items: make(function, guards.counted(items))

    def groupby(iterable: Any, key: Any = None) -> Iterator[Any]:
        return itertools.groupby(guards.counted(iterable), key)

    def tee(iterable: Any, n: int = 2) -> tuple[Iterator[Any], ...]:
        if n > MAX_REPEATED:
            raise LimitExceededError(f"{n} iterators of one are more than {MAX_REPEATED}")
        return itertools.tee(iterable, n)

    def zip_longest(*iterables: Any, fillvalue: Any = None) -> Iterator[Any]:
        if len(iterables) > MAX_POOL:
            raise LimitExceededError(f"{len(iterables)} iterables are more than {MAX_POOL}")
        return itertools.zip_longest(*iterables, fillvalue=fillvalue)

    chain = counted(itertools.chain)
    chain.from_iterable = counted(itertools.chain.from_iterable)  # type: ignore[attr-defined]
    names: dict[str, Any] = {name: getattr(itertools, name) for name in _PLAIN}
    names.update({name: counted(getattr(itertools, name)) for name in ("count", "cycle", "repeat")})
    names.update({name: calling(getattr(itertools, name)) for name in _CALLING})
    for name in ("permutations", "combinations", "combinations_with_replacement"):
        names[name] = combined(getattr(itertools, name))
    names.update(accumulate=accumulate, chain=chain, groupby=groupby, product=product)
    names.update(tee=tee, zip_longest=zip_longest)
    return names


def _pool(items: Any) -> list[Any]:
    pool = list(items)
    if len(pool) > MAX_POOL:
        raise LimitExceededError(f"a pool of {len(pool)} items is more than {MAX_POOL}")
    return pool
