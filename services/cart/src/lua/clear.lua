-- Removes every line.
-- KEYS: the cart, its version. ARGV: now, seconds that a cart lives.
if redis.call('DEL', KEYS[1]) > 0 then raise(KEYS[2], ARGV[1], ARGV[2]) end
return 1
