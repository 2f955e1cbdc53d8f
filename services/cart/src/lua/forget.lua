-- Takes what was bought out of a cart, once per event.
-- KEYS: the cart, its version, the note of the event. ARGV: seconds that the note lives, now, seconds that
-- a cart lives, then product, SKU and quantity of each line.
-- A product's own SKU is in the field '<product>', a variant's in '<product> <SKU>'.
if not redis.call('SET', KEYS[3], '1', 'NX', 'EX', ARGV[1]) then return 0 end
local changed = false
for i = 4, #ARGV, 3 do
  local product, sku, bought = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local field = product .. ' ' .. sku
  local line = redis.call('HGET', KEYS[1], field)
  if not line then
    field = product
    line = redis.call('HGET', KEYS[1], field)
    -- Of the two only this one can be something else of the product.
    if line and cjson.decode(string.match(line, '^%d+ %d+ (.*)$')).sku ~= sku then line = nil end
  end
  if line then
    changed = true
    local held, rest = string.match(line, '^(%d+) (.*)$')
    local left = tonumber(held) - bought
    if left > 0 then
      redis.call('HSET', KEYS[1], field, string.format('%d %s', left, rest))
    else
      redis.call('HDEL', KEYS[1], field)
    end
  end
end
if changed then raise(KEYS[2], ARGV[2], ARGV[3]) end
return 1
