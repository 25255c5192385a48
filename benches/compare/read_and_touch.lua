-- MTGET key since, as a script that does all of its work: a key that is not modified was used, and is not to be evicted as
-- idle. The common script does not see to that.
local stored = tonumber(redis.call('HGET', 'MY_KEYSMTIME', KEYS[1]) or nil)
if stored and stored <= tonumber(ARGV[1]) then
    redis.call('TOUCH', KEYS[1])
    return false
end
return redis.call('GET', KEYS[1])
