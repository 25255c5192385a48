// A cache in this process that asks Redis "changed since?" instead of fetching a value again, with ioredis.
//
//     const { MtimeCache, Redis } = require('./mtime-cache');
//     const cache = new MtimeCache(new Redis());                  // or new Redis.Cluster([...])
//
// Every `get` asks the server, so nothing it returns is older than the question. What it saves is the value's way over
// the network, and whatever the caller makes of the value.

'use strict';

const { createRequire } = require('node:module');

// ioredis finds the keys of a command, for cluster routing and `keyPrefix`, in a table of its own, and sends a command that
// is not in it (`redis.call('MTGET', ...)`, `addBuiltinCommand`) to some node and without the prefix. So the commands go
// into the table, before ioredis makes methods of it: mtget(), mtgetBuffer(), and both in pipelines.
const table = createRequire(require.resolve('ioredis'))('@ioredis/commands/built/commands.json');
Object.assign(table, {
  mtget: { arity: -3, flags: ['readonly', 'fast'], keyStart: 1, keyStop: 1, step: 1 },
  mtmget: { arity: -3, flags: ['readonly', 'fast'], keyStart: 1, keyStop: -1, step: 2 },
  mttime: { arity: 2, flags: ['readonly', 'fast'], keyStart: 1, keyStop: 1, step: 1 },
  mtset: { arity: -4, flags: ['write', 'denyoom', 'fast'], keyStart: 1, keyStop: 1, step: 1 },
  mttouch: { arity: -3, flags: ['write', 'fast'], keyStart: 1, keyStop: 1, step: 1 },
  mtdel: { arity: -2, flags: ['write', 'fast'], keyStart: 1, keyStop: 1, step: 1 },
});
const Redis = require('ioredis');
if (!('mtget' in Redis.prototype)) throw new Error('require mtime-cache before ioredis');

// Below every mtime: what a reader without a copy sends.
const NOTHING_HELD = '-9223372036854775808';

// ioredis decodes by command name too: [mtime, value] becomes an object. mtime null: untracked. value null: not modified.
// The mtime stays text: it is only ever sent back, and an integer beyond 2^53 must not become a Number.
function versioned(reply) {
  return Array.isArray(reply) ? { mtime: reply[0] && reply[0].toString(), value: reply[1] } : reply;
}
Redis.Command.setReplyTransformer('mtget', versioned);
Redis.Command.setReplyTransformer('mtmget', (replies) => replies.map(versioned));

class MtimeCache {
  // `held` can be anything with the methods of a Map, say an lru-cache, to bound it.
  constructor(redis, held = new Map()) {
    this.redis = redis;
    this.held = held;
  }

  // The value as the server has it now (a Buffer), or null.
  async get(key) {
    const held = this.held.get(key);
    // EXACT: a cache sends back an mtime it was given, so any other one means another value, also an older one after a
    // failover or a restored backup.
    const reply = await this.redis.mtgetBuffer(key, held ? held.mtime : NOTHING_HELD, 'EXACT', 'WITHMTIME');
    if (reply === null) {
      this.held.delete(key); // gone
      return null;
    }
    if (reply.value === null) return held.value; // not modified
    if (reply.mtime === null) this.held.delete(key); // untracked: nothing to ask with next time
    else this.held.set(key, reply);
    return reply.value;
  }

  // Writes unless the server has something as new or newer. false: refused.
  async set(key, value, modified) {
    this.held.delete(key);
    return (await this.redis.mtset(key, value, String(modified), 'IFNEWER')) !== null;
  }

  // Deletes unless the server has something as new or newer. false: refused, or there was nothing.
  async delete(key, modified) {
    this.held.delete(key);
    return (await this.redis.mtdel(key, 'IFNEWER', String(modified))) === 1;
  }
}

module.exports = { MtimeCache, Redis };
