// A cache in this process that asks Redis "changed since?" instead of fetching a value again, with node-redis.
//
//     const client = createClient({ modules: { mtime } });        // createCluster takes the same
//     const cache = new MtimeCache(client);
//
// Every `get` asks the server, so nothing it returns is older than the question. What it saves is the value's way over
// the network, and whatever the caller makes of the value.

import { RESP_TYPES } from 'redis';

// Below every mtime: what a reader without a copy sends.
const NOTHING_HELD = '-9223372036854775808';

// mtime null: untracked. value null: not modified. The mtime stays text: it is only ever sent back, and an integer beyond
// 2^53 must not become a Number.
function versioned(reply) {
  return reply && { mtime: reply[0] && reply[0].toString(), value: reply[1] };
}

// The commands, in the form that node-redis has for those of modules: pushKey() is what routes them in a cluster and what
// `keyPrefix` is put in front of, IS_READ_ONLY lets replicas answer, transformReply decodes.
export const mtime = {
  get: {
    IS_READ_ONLY: true,
    parseCommand(parser, key, since, { exact = false } = {}) {
      parser.push('MTGET');
      parser.pushKey(key);
      parser.push(String(since));
      if (exact) parser.push('EXACT');
      parser.push('WITHMTIME');
    },
    transformReply: versioned,
  },
  mGet: {
    IS_READ_ONLY: true,
    parseCommand(parser, sinceByKey) {
      parser.push('MTMGET');
      for (const [key, since] of Object.entries(sinceByKey)) {
        parser.pushKey(key);
        parser.push(String(since));
      }
    },
    transformReply: (replies) => replies.map(versioned),
  },
  set: {
    IS_READ_ONLY: false,
    parseCommand(parser, key, value, modified, { ifNewer = false, ifEquals, px } = {}) {
      parser.push('MTSET');
      parser.pushKey(key);
      parser.push(value, String(modified));
      if (ifNewer) parser.push('IFNEWER');
      if (ifEquals !== undefined) parser.push('IFEQ', String(ifEquals));
      if (px !== undefined) parser.push('PX', String(px));
    },
    transformReply: (reply) => reply,
  },
  delete: {
    IS_READ_ONLY: false,
    parseCommand(parser, key, { ifNewer } = {}) {
      parser.push('MTDEL');
      parser.pushKey(key);
      if (ifNewer !== undefined) parser.push('IFNEWER', String(ifNewer));
    },
    transformReply: (reply) => reply,
  },
};

export class MtimeCache {
  // `held` can be anything with the methods of a Map, say an lru-cache, to bound it.
  constructor(client, held = new Map()) {
    this.client = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    this.held = held;
  }

  // The value as the server has it now (a Buffer), or null.
  async get(key) {
    const held = this.held.get(key);
    // exact: a cache sends back an mtime it was given, so any other one means another value, also an older one after a
    // failover or a restored backup.
    const reply = await this.client.mtime.get(key, held ? held.mtime : NOTHING_HELD, { exact: true });
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
    return (await this.client.mtime.set(key, value, modified, { ifNewer: true })) !== null;
  }

  // Deletes unless the server has something as new or newer. false: refused, or there was nothing.
  async delete(key, modified) {
    this.held.delete(key);
    return (await this.client.mtime.delete(key, { ifNewer: modified })) === 1;
  }
}
