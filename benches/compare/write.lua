-- MTSET key value mtime, as a script: what the module is measured against.
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', 'MY_KEYSMTIME', KEYS[1], tonumber(ARGV[2]))
