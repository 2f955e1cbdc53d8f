-- Moves the lines of one cart into another, up to the limits. What finds no line there stays.
-- KEYS: from, to, their versions. ARGV: largest quantity, most lines, seconds that a cart lives, now.
local from, to = KEYS[1], KEYS[2]
local limit, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local moved = false
-- Fields: see forget.lua.
local lines = redis.call('HGETALL', from)
for i = 1, #lines, 2 do
  local thing, line = lines[i], lines[i + 1]
  local old = redis.call('HGET', to, thing)
  if old then
    local quantity = string.match(line, '^(%d+) ')
    local held, rest = string.match(old, '^(%d+) (.*)$')
    local sum = math.min(tonumber(held) + tonumber(quantity), limit)
    redis.call('HSET', to, thing, string.format('%d %s', sum, rest))
    redis.call('HDEL', from, thing)
    moved = true
  elseif redis.call('HLEN', to) < most then
    redis.call('HSET', to, thing, line)
    redis.call('HDEL', from, thing)
    moved = true
  end
end
redis.call('EXPIRE', to, ARGV[3])
if moved then
  raise(KEYS[3], ARGV[4], ARGV[3])
  raise(KEYS[4], ARGV[4], ARGV[3])
end
return redis.call('HLEN', from)
