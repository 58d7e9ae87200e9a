-- Deletes the claims that are the caller's own.
-- KEYS: results. ARGV: the claim.
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
