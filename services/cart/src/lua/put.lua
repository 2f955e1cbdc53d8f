-- Adds to a line, or sets it.
-- KEYS: the cart, its version. ARGV: field, 'add' or 'set', quantity, what the shopper has seen, now,
-- largest quantity, most lines, seconds that a cart lives.
-- A line is '<quantity> <when it was first added> <what was seen>'.
local old = redis.call('HGET', KEYS[1], ARGV[1])
local quantity, since = tonumber(ARGV[3]), ARGV[5]
if old then
  local held
  held, since = string.match(old, '^(%d+) (%d+) ')
  if ARGV[2] == 'add' then quantity = quantity + tonumber(held) end
elseif redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[7]) then
  return 'too many lines'
end
if quantity > tonumber(ARGV[6]) then return 'too much' end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %s %s', quantity, since, ARGV[4]))
redis.call('EXPIRE', KEYS[1], ARGV[8])
raise(KEYS[2], ARGV[5], ARGV[8])
return 'done'
