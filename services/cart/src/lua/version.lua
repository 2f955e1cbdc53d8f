-- Put before every script that changes lines. KEYS and ARGV are those of that script.
-- Raises the version of a cart, and lets it live a day longer than the cart. It is never lower than the
-- time, so that it does not repeat when the key has ended or a cart was emptied.
local function raise(key, now, seconds)
  local old = tonumber(redis.call('GET', key) or '0')
  local version = string.format('%.0f', math.max(old + 1, tonumber(now)))
  redis.call('SET', key, version, 'EX', seconds + 86400)
end
