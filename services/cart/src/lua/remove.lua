-- Removes lines; the shopper's own removal also begins the cart's life again.
-- KEYS: the cart, its version. ARGV: now, seconds that a cart lives, 'renew' or 'keep', then the fields.
if ARGV[3] == 'renew' then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
local removed = 0
for i = 4, #ARGV do removed = removed + redis.call('HDEL', KEYS[1], ARGV[i]) end
if removed > 0 then raise(KEYS[2], ARGV[1], ARGV[2]) end
return removed
