"""What runs inside Redis: rates and leases, judged by the server's own clock.

Place in flow: ``engine.throttle.redis_link`` sends these; ``shared_limiter`` and ``shared_lease``
make the arguments and read the answers.

Invariants:
    * One key for each script: on a cluster it runs where its key is, on one Redis many of them go
      in one round trip.
    * The present is the server's ``TIME`` in microseconds. Clocks of nodes play no part.
    * A key goes by itself when nothing is owed by it or held of it any more.
    * An answer is whole numbers only: a float would lose its fraction on the way.

Standard: rates are GCRA (ITU-T I.371), as in ``engine.throttle.gcra``.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class RedisScript:
    """A script of one key, and the hash that Redis knows it by."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


_NOW = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
"""

#: ARGV: interval in microseconds, burst, least, most. Takes as many as there are, at least the
#: least and at most the most, or none. Answers taken, remaining, microseconds until the allowance
#: is whole again, microseconds until the least may go; where some were taken, until one more may.
TAKE_RATE = RedisScript(
    _NOW
    + """
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local least, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local slack = interval / 1000
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local there = math.floor((burst * interval - (tat - now) + slack) / interval)
local taken = 0
if there >= math.min(least, burst) then
  taken = math.max(least, math.min(most, there))
  tat = tat + taken * interval
  redis.call('SET', KEYS[1], string.format('%.3f', tat), 'PX', math.ceil((tat - now) / 1000) + 1)
  there = there - taken
end
if taken > 0 then least = 1 end
local wait = math.max(0, tat - now - (burst - math.min(least, burst)) * interval)
return {taken, math.max(0, there), math.ceil(tat - now), math.ceil(wait)}
"""
)

#: ARGV: interval in microseconds, count. What was taken and not used is there again.
GIVE_BACK_RATE = RedisScript(
    """
local tat = redis.call('GET', KEYS[1])
if tat then
  tat = tonumber(tat) - ARGV[1] * ARGV[2]
  redis.call('SET', KEYS[1], string.format('%.3f', tat), 'KEEPTTL')
end
return 0
"""
)

# A lease is a member "=<node> <number>" whose score is its end. A node that was refused stands in
# line as "?<asked>:<node>", <asked> in 16 digits, with its end as a negative score: one key, and no
# lease is ever counted as one that waits.
_SWEEP = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now)
redis.call('ZREMRANGEBYSCORE', KEYS[1], -now, '(0')
"""

#: ARGV: node, limit, life in microseconds, how long to stay in line in microseconds, then the
#: members to add, as many of them as there is room for. Answers how many were added, and how many
#: are held by all.
ACQUIRE_LEASES = RedisScript(
    _NOW
    + _SWEEP
    + """
local node, limit, life = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('ZCOUNT', KEYS[1], '(0', '+inf')
local line = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(0')
table.sort(line)
local before, mine = #line, nil
for place, member in ipairs(line) do
  if string.sub(member, 19) == node then
    before, mine = place - 1, member
    break
  end
end
local asked = #ARGV - 4
local room = math.max(0, math.min(asked, limit - held - before))
for number = 1, room do
  redis.call('ZADD', KEYS[1], now + life, ARGV[4 + number])
end
if mine and room > 0 then
  redis.call('ZREM', KEYS[1], mine)
elseif room == 0 then
  mine = mine or string.format('?%016.0f:', now) .. node
  redis.call('ZADD', KEYS[1], -(now + ARGV[4]), mine)
end
redis.call('PEXPIRE', KEYS[1], math.ceil((life + ARGV[4]) / 1000))
return {room, held + room}
"""
)

#: ARGV: limit, life in microseconds, then members. Those that are there live on; those that are
#: not are added while there is room. Answers how many are held by all, then 1 or 0 for each member.
RENEW_LEASES = RedisScript(
    _NOW
    + _SWEEP
    + """
local limit, life = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.call('ZCOUNT', KEYS[1], '(0', '+inf')
local answer = {0}
for number = 3, #ARGV do
  local is_there = redis.call('ZSCORE', KEYS[1], ARGV[number])
  if is_there or held < limit then
    redis.call('ZADD', KEYS[1], now + life, ARGV[number])
    if not is_there then held = held + 1 end
    answer[number - 1] = 1
  else
    answer[number - 1] = 0
  end
end
redis.call('PEXPIRE', KEYS[1], math.ceil(life / 1000) + 1)
answer[1] = held
return answer
"""
)

#: ARGV: members. Frees them at once.
RELEASE_LEASES = RedisScript("return redis.call('ZREM', KEYS[1], unpack(ARGV))")

#: ARGV: node, life in microseconds. Notes that the node lives; answers how many do.
NOTE_NODE = RedisScript(
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] / 1000) + 1)
return redis.call('ZCARD', KEYS[1])
"""
)


#: ARGV: the serial that the asker knows, then pairs of a field and its text; an empty text removes
#: the field. Answers the serial; where it is not the one that the asker knows, also all fields with
#: their texts, one after the other.
EXCHANGE_DIRECTIVES = RedisScript(
    _NOW
    + """
local serial = redis.call('HGET', KEYS[1], '#')
if not serial then
  serial = string.format('%.0f', now)
  redis.call('HSET', KEYS[1], '#', serial)
end
for number = 2, #ARGV, 2 do
  if ARGV[number + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[number])
  else
    redis.call('HSET', KEYS[1], ARGV[number], ARGV[number + 1])
    serial = redis.call('HINCRBY', KEYS[1], '#', 1)
  end
end
if tostring(serial) == ARGV[1] then return {serial} end
local all = redis.call('HGETALL', KEYS[1])
table.insert(all, 1, redis.call('HGET', KEYS[1], '#'))
return all
"""
)


class TakeAnswer(NamedTuple):
    """What ``TAKE_RATE`` answers.

    Attributes:
        taken: How many were taken; 0 if the least were not there.
        remaining: How many more could go now.
        reset_us: Microseconds until the whole allowance is there again.
        wait_us: Microseconds until the least may go; where some were taken, until one more may.
    """

    taken: int
    remaining: int
    reset_us: int
    wait_us: int
