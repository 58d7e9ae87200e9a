-- Moves the pointer from the expected model to the next.
-- KEYS: pointer, next model, expected model. ARGV: expected version ('' = none), next version, its rows, seconds to keep
-- the former, when the next was fitted ('' = unknown).
local current = redis.call('HMGET', KEYS[1], 'version', 'rows')
if (current[1] or '') ~= ARGV[1] then return 'Conflict' end
if tonumber(ARGV[3]) < tonumber(current[2] or 0) then return 'FewerRows' end
if redis.call('EXISTS', KEYS[2]) == 0 then return 'Missing' end
-- The former is evictable from now on, the next no longer.
if ARGV[1] ~= '' then redis.call('EXPIRE', KEYS[3], ARGV[4]) end
redis.call('PERSIST', KEYS[2])
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'rows', ARGV[3], 'fitted', ARGV[5])
return 'Swapped'
