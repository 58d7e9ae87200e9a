-- Deletes the claims that are the caller's own.
-- KEYS: results. ARGV: what its claims begin with.
for _, key in ipairs(KEYS) do
  if redis.call('GETRANGE', key, 0, #ARGV[1] - 1) == ARGV[1] then redis.call('DEL', key) end
end
