-- Takes what was bought out of a cart, once per event.
-- KEYS: the cart, the note of the event. ARGV: seconds that the note lives, then product and
-- quantity of each line.
if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[1]) then return 0 end
for i = 2, #ARGV, 2 do
  local product, bought = ARGV[i], tonumber(ARGV[i + 1])
  local line = redis.call('HGET', KEYS[1], product)
  if line then
    local held, rest = string.match(line, '^(%d+) (.*)$')
    local left = tonumber(held) - bought
    if left > 0 then
      redis.call('HSET', KEYS[1], product, string.format('%d %s', left, rest))
    else
      redis.call('HDEL', KEYS[1], product)
    end
  end
end
return 1
