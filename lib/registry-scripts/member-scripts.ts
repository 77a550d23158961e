import { LUA_GENERATION } from './common.ts'
import { defineScript } from './script.ts'

/**
 * Registers a member or renews its lease, by writing its record whole.
 *
 * KEYS[1] member. ARGV: prefix, id, bootId, leaseMs, first (`1`: this boot's first heartbeat), candidate for a generation, then field, value, ...
 * Returns {status `ok` | `superseded`, existed before `1` | `0`, generation id, its age in ms}.
 * `superseded`: another boot of this member holds the lease, nothing was written.
 */
export const HEARTBEAT = defineScript(
  'heartbeat',
  LUA_GENERATION,
  `
local id, boot, lease_ms, first = ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local generation_id, age = generation(ARGV[6])
local before = fields_of(KEYS[1])
local existed = before.address ~= nil and (before.bootId or '') == boot
if not first and before.address ~= nil and not existed then
  return {'superseded', '0', generation_id, text(age)}
end
-- What an earlier boot owned is nobody's now.
if first and not existed and redis.call('EXISTS', owned_key(id)) == 1 then
  redis.call('SUNIONSTORE', orphans_key(), orphans_key(), owned_key(id))
  redis.call('DEL', owned_key(id))
end
local message, changed = {}, not existed
for i = 7, #ARGV, 2 do
  message[ARGV[i]] = ARGV[i + 1]
  if ARGV[i] ~= 'load' and before[ARGV[i]] ~= ARGV[i + 1] then changed = true end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
redis.call('PEXPIRE', KEYS[1], lease_ms)
redis.call('SADD', members_key(), id)
if changed then
  message.t = 'member'
  publish(message)
end
return {'ok', existed and '1' or '0', generation_id, text(age)}
`
)

/**
 * Ends a lease: the member leaves, or a gateway proved that it is dead.
 *
 * KEYS[1] member. ARGV: prefix, id, bootId. Returns 1, or 0 where that boot holds no lease.
 * Its sessions stay in its index, and its id among the members, until the sweep has moved them.
 */
export const END_LEASE = defineScript(
  'end-lease',
  `
local id, boot = ARGV[2], ARGV[3]
if not is_live(id, boot) then return 0 end
redis.call('DEL', KEYS[1])
if redis.call('EXISTS', owned_key(id)) == 0 then redis.call('SREM', members_key(), id) end
publish({t = 'member-gone', id = id, bootId = boot})
return 1
`
)

/**
 * Moves sessions of a member without a lease to the orphans.
 *
 * KEYS[1] member. ARGV: prefix, id, most sessions to move. Returns how many were moved; -1 where the member is live.
 */
export const COLLECT = defineScript(
  'collect',
  `
local id = ARGV[2]
if redis.call('HEXISTS', KEYS[1], 'address') == 1 then return -1 end
local ids = redis.call('SPOP', owned_key(id), ARGV[3])
if #ids > 0 then redis.call('SADD', orphans_key(), unpack(ids)) end
if redis.call('EXISTS', owned_key(id)) == 0 then redis.call('SREM', members_key(), id) end
return #ids
`
)

/**
 * What a gateway needs to know before it believes anything else.
 *
 * KEYS[1] members. ARGV: prefix, candidate for a generation. Returns {generation id, its age in ms, sequence of the last change, member ids}.
 */
export const OVERVIEW = defineScript(
  'overview',
  LUA_GENERATION,
  `
local generation_id, age = generation(ARGV[2])
local sequence = redis.call('GET', sequence_key()) or '0'
return {generation_id, text(age), sequence, redis.call('SMEMBERS', KEYS[1])}
`
)

/**
 * Reads members' records.
 *
 * KEYS[1] members. ARGV: prefix, member ids. Returns {time in microseconds, then per id {record, sessions it owns}}.
 */
export const READ_MEMBERS = defineScript(
  'read-members',
  `
local reply = {text(now_us())}
for i = 2, #ARGV do
  local record, held = redis.pcall('HGETALL', member_key(ARGV[i])), redis.pcall('SCARD', owned_key(ARGV[i]))
  -- One key of a wrong type must not hide the other members: this member has a record that is not valid.
  if record.err then record = {'id', ''} end
  reply[i] = {record, text(type(held) == 'number' and held or 0)}
end
return reply
`
)

/**
 * Begins a generation that nobody waits for. Only where no pod can own anything yet: a private Redis that was just started.
 *
 * KEYS[1] generation. ARGV: prefix, id. Returns 1.
 */
export const MARK_SETTLED = defineScript(
  'mark-settled',
  LUA_GENERATION,
  `
redis.call('HSET', KEYS[1], 'id', ARGV[2], 'runId', run_id(), 'since', '0')
return 1
`
)
