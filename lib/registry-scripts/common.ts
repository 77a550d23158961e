import { KEY_SHAPES, TOMBSTONE_MS } from '../registry-schema.ts'

/** `{fairlead}:member:*:sessions` becomes `local function owned_key(id) return prefix .. ':member:' .. id .. ':sessions' end`. */
function luaKey(name: string, shape: string): string {
  const [before = '', after] = shape.split('*')
  const tail = after === undefined ? '' : ` .. id .. '${after}'`
  return `local function ${name}_key(id) return prefix .. '${before}'${tail} end`
}

const keyFunctions = Object.entries(KEY_SHAPES)
  .map(([name, shape]) => luaKey(name, shape))
  .join('\n')

/**
 * What every script begins with. `ARGV[1]` is the registry's prefix; keys that depend on a record's content are built from it,
 * which a Redis Cluster allows because they share the hash tag of `KEYS[1]`. Numbers leave a script as decimal text.
 */
export const LUA_COMMON = `
local prefix = ARGV[1]
${keyFunctions}

local function text(number) return string.format('%.0f', number) end

local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function now_ms() return math.floor(now_us() / 1000) end

local function fields_of(key)
  local flat, fields = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- A member is live while its record has an address; a lease belongs to one boot.
local function is_live(id, boot)
  if not id or id == '' then return false end
  local member = redis.call('HMGET', member_key(id), 'address', 'bootId')
  return member[1] ~= false and (member[2] or '') == (boot or '')
end

-- Live, not draining and not full.
local function takes_sessions(id, boot)
  if not is_live(id, boot) then return false end
  local member = redis.call('HMGET', member_key(id), 'state', 'capacity')
  if member[1] == 'draining' then return false end
  local capacity = tonumber(member[2] or '0') or 0
  return capacity == 0 or redis.call('SCARD', owned_key(id)) < capacity
end

local function publish(message)
  message.n = text(redis.call('INCR', sequence_key()))
  redis.call('PUBLISH', changes_key(), cjson.encode(message))
end

local function announce_session(id)
  local message = fields_of(session_key(id))
  message.t, message.id, message.at = 'session', id, text(now_us())
  message.held = message.owner == '' and '0' or text(redis.call('SCARD', owned_key(message.owner)))
  publish(message)
end

-- The session, its owner's record, and how many sessions that owner has, as every ownership script returns them.
local function session_reply(status, id)
  local owner = redis.call('HGET', session_key(id), 'owner') or ''
  local member = owner == '' and {} or redis.call('HGETALL', member_key(owner))
  local held = owner == '' and 0 or redis.call('SCARD', owned_key(owner))
  return {status, redis.call('HGETALL', session_key(id)), member, text(held), text(now_us())}
end

-- An index entry for the session's owner, and for nobody else.
local function index(id, owner, previous)
  if previous and previous ~= '' and previous ~= owner then redis.call('SREM', owned_key(previous), id) end
  if owner == '' then
    redis.call('SADD', orphans_key(), id)
  else
    redis.call('SREM', orphans_key(), id)
    redis.call('SADD', owned_key(owner), id)
  end
end

local function bury(id, epoch, created_at)
  redis.call('HSET', gone_key(id), 'epoch', epoch, 'createdAt', created_at)
  redis.call('PEXPIRE', gone_key(id), ${TOMBSTONE_MS})
end
`

/**
 * The generation: one life of the registry's data. A new one begins where none is found (first start, FLUSHALL) and where the server is another process than
 * the one that wrote it (restart, failover), because then the newest writes may be lost. Until pods had the time to say what they own, its age tells everybody to wait.
 */
export const LUA_GENERATION = `
local function run_id()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
end

-- Id of the generation, and its age in milliseconds.
local function generation(candidate)
  local run = run_id()
  local known = redis.call('HMGET', generation_key(), 'id', 'runId', 'since')
  if known[1] and (run == '' or known[2] == run) then
    return known[1], math.max(0, now_ms() - known[3])
  end
  redis.call('HSET', generation_key(), 'id', candidate, 'runId', run, 'since', text(now_ms()))
  publish({t = 'generation', id = candidate})
  return candidate, 0
end
`
