-- MTGET key since, as a script: what the module is measured against.
local stored = tonumber(redis.call('HGET', 'MY_KEYSMTIME', KEYS[1]) or nil)
if stored and stored <= tonumber(ARGV[1]) then
    return false
end
return redis.call('GET', KEYS[1])
