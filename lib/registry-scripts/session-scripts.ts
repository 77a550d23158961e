import { LUA_GENERATION } from './common.ts'
import { defineScript } from './script.ts'

/**
 * Binds a new session to a member.
 *
 * KEYS[1] session. ARGV: prefix, id, memberId, bootId, agent, least epoch, settleMs, candidate for a generation.
 * Returns {`ok` | `taken`, session, owner's record, its sessions, time in microseconds} | {`no-member`} | {`recovering`}.
 * The epoch is 1, or one more than that of a session of this id that was removed lately. settleMs 0: the id is random, nobody can have it.
 */
export const CLAIM = defineScript(
  'claim',
  LUA_GENERATION,
  `
local id, member, boot, agent = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local settle_ms = tonumber(ARGV[7])
if redis.call('EXISTS', KEYS[1]) == 1 then return session_reply('taken', id) end
if settle_ms > 0 then
  local _, age = generation(ARGV[8])
  if age < settle_ms then return {'recovering'} end
end
if not takes_sessions(member, boot) then return {'no-member'} end
local gone = redis.call('HMGET', gone_key(id), 'epoch', 'createdAt')
local epoch = math.max(1, tonumber(ARGV[6]), tonumber(gone[1] or '0') + 1)
local created_at = math.max(now_ms(), tonumber(gone[2] or '0') + 1)
redis.call('DEL', gone_key(id))
redis.call('HSET', KEYS[1], 'owner', member, 'bootId', boot, 'epoch', text(epoch),
  'state', 'active', 'agent', agent, 'createdAt', text(created_at))
index(id, member, '')
announce_session(id)
return session_reply('ok', id)
`
)

/**
 * Gives an orphan to a member. Of many that try, one wins.
 *
 * KEYS[1] session. ARGV: prefix, id, the epoch it was decided from, memberId, bootId, settleMs, candidate for a generation.
 * Returns {status, session, owner's record, its sessions, time in microseconds} with `ok`, `moved` (the epoch is another by now)
 * or `owned` (its owner is alive); {`unknown`} | {`no-member`} | {`recovering`}.
 */
export const REASSIGN = defineScript(
  'reassign',
  LUA_GENERATION,
  `
local id, expected, member, boot = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local _, age = generation(ARGV[7])
if age < tonumber(ARGV[6]) then return {'recovering'} end
local record = redis.call('HMGET', KEYS[1], 'owner', 'bootId', 'epoch')
if not record[3] then
  redis.call('SREM', orphans_key(), id)
  return {'unknown'}
end
if is_live(record[1], record[2]) then
  index(id, record[1], '')
  return session_reply(record[3] == expected and 'owned' or 'moved', id)
end
if record[3] ~= expected then return session_reply('moved', id) end
if not takes_sessions(member, boot) then return {'no-member'} end
redis.call('HSET', KEYS[1], 'owner', member, 'bootId', boot)
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
index(id, member, record[1])
announce_session(id)
return session_reply('ok', id)
`
)

/**
 * Makes a session an orphan: its owner drains.
 *
 * KEYS[1] session. ARGV: prefix, id, epoch. Returns `ok` | `moved` | `unknown`.
 */
export const RELEASE = defineScript(
  'release',
  `
local id = ARGV[2]
local record = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if not record[2] then return 'unknown' end
if record[2] ~= ARGV[3] then return 'moved' end
redis.call('HSET', KEYS[1], 'owner', '', 'bootId', '')
index(id, '', record[1])
announce_session(id)
return 'ok'
`
)

/**
 * Removes a session, and remembers that for a while.
 *
 * KEYS[1] session. ARGV: prefix, id, epoch, createdAt (`0`: whichever). Returns `ok` | `moved` | `unknown`.
 */
export const REMOVE = defineScript(
  'remove',
  `
local id, epoch, created_at = ARGV[2], ARGV[3], ARGV[4]
local record = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'createdAt')
if not record[2] then
  redis.call('SREM', orphans_key(), id)
  if redis.call('EXISTS', gone_key(id)) == 0 then bury(id, epoch, created_at == '0' and text(now_ms()) or created_at) end
  return 'unknown'
end
if record[2] ~= epoch or (created_at ~= '0' and record[3] ~= created_at) then return 'moved' end
redis.call('DEL', KEYS[1])
redis.call('SREM', owned_key(record[1]), id)
redis.call('SREM', orphans_key(), id)
bury(id, epoch, record[3])
publish({t = 'session-gone', id = id, epoch = epoch})
return 'ok'
`
)

/**
 * Notes what a session does; nothing about who owns it.
 *
 * KEYS[1] session. ARGV: prefix, id, epoch, state. Returns `ok` | `moved` | `unknown`.
 */
export const SET_STATE = defineScript(
  'set-state',
  `
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return 'unknown' end
if epoch ~= ARGV[3] then return 'moved' end
redis.call('HSET', KEYS[1], 'state', ARGV[4])
return 'ok'
`
)

/**
 * A pod says what it owns, after its lease had lapsed or a new generation began.
 *
 * KEYS[1] member. ARGV: prefix, memberId, bootId, then per session: id, epoch, agent, state, createdAt.
 * Returns per session `ok` | `restored` | `lost`; or `no-lease` alone, and nothing was done.
 * A record that is missing or older is written again, unless a removed session of that id is remembered. Older: made earlier, or by epoch.
 */
export const ASSERT = defineScript(
  'assert',
  `
local member, boot = ARGV[2], ARGV[3]
if not is_live(member, boot) then return 'no-lease' end

local function verdict(id, epoch, created_at)
  local record = redis.call('HMGET', session_key(id), 'owner', 'bootId', 'epoch', 'createdAt')
  if not record[3] then
    local gone = redis.call('HGET', gone_key(id), 'createdAt')
    return gone and tonumber(gone) >= created_at and 'lost' or 'restored', ''
  end
  local theirs, their_epoch = tonumber(record[4] or '0'), tonumber(record[3])
  if theirs ~= created_at then return theirs < created_at and 'restored' or 'lost', record[1] end
  if their_epoch ~= epoch then return their_epoch < epoch and 'restored' or 'lost', record[1] end
  return record[1] == member and record[2] == boot and 'ok' or 'lost', record[1]
end

local reply = {}
for i = 4, #ARGV, 5 do
  local id = ARGV[i]
  local status, previous = verdict(id, tonumber(ARGV[i + 1]), tonumber(ARGV[i + 4]))
  if status == 'restored' then
    redis.call('HSET', session_key(id), 'owner', member, 'bootId', boot, 'epoch', ARGV[i + 1],
      'agent', ARGV[i + 2], 'state', ARGV[i + 3], 'createdAt', ARGV[i + 4])
  end
  if status ~= 'lost' then index(id, member, previous) end
  if status == 'restored' then announce_session(id) end
  reply[#reply + 1] = status
end
return reply
`
)

/**
 * Who owns a session, and whether that owner is alive, in one round trip.
 *
 * KEYS[1] session. ARGV: prefix, id.
 * Returns {generation id (empty: none), its age in ms, session, owner's record, lease left in ms, owner's sessions, time in microseconds}.
 */
export const LOOKUP = defineScript(
  'lookup',
  `
local known = redis.call('HMGET', generation_key(), 'id', 'since')
local age = known[1] and math.max(0, now_ms() - known[2]) or 0
local reply = session_reply('', ARGV[2])
local owner = redis.call('HGET', KEYS[1], 'owner') or ''
local left = owner == '' and 0 or math.max(0, redis.call('PTTL', member_key(owner)))
return {known[1] or '', text(age), reply[2], reply[3], text(left), reply[4], reply[5]}
`
)

/**
 * The little that tells whether a cached route still holds.
 *
 * KEYS[1] orphans. ARGV: prefix, session ids.
 * Returns {generation id, then per session {owner, bootId, epoch, agent}, each null where the session is unknown}.
 */
export const PEEK = defineScript(
  'peek',
  `
local reply = {redis.call('HGET', generation_key(), 'id') or ''}
for i = 2, #ARGV do
  reply[i] = redis.call('HMGET', session_key(ARGV[i]), 'owner', 'bootId', 'epoch', 'agent')
end
return reply
`
)
