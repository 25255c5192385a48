// Against real servers: REDIS_PORT is one that stands alone, REDIS_CLUSTER_PORT a node of a cluster.

'use strict';

const assert = require('node:assert/strict');
const { after, beforeEach, test } = require('node:test');
const { MtimeCache, Redis } = require('./mtime-cache');

const port = Number(process.env.REDIS_PORT);
const BINARY = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
// One more would be lost in a Number.
const BEYOND_NUMBERS = 2n ** 53n + 1n;

const redis = new Redis(port);
const other = new Redis(port);
let cache;

after(() => Promise.all([redis.quit(), other.quit()]));
beforeEach(async () => {
  await other.flushall();
  cache = new MtimeCache(redis);
});

async function counted(field) {
  return Number((await other.info('mtime')).match(new RegExp(`mtime_${field}:(\\d+)`))[1]);
}

test('a value is fetched once and then revalidated', async () => {
  assert.equal(await cache.set('k', BINARY, 100), true);
  const [sent, saved] = [await counted('bytes_sent'), await counted('bytes_saved')];
  const first = await cache.get('k');
  assert.deepEqual(first, BINARY);
  assert.equal(await cache.get('k'), first);
  assert.equal((await counted('bytes_sent')) - sent, 256);
  assert.equal((await counted('bytes_saved')) - saved, 256);
});

test('what others write is seen at once, also when its mtime went back', async () => {
  await cache.set('k', 'mine', 200);
  await cache.get('k');
  await other.mtset('k', 'theirs', 201);
  assert.equal(String(await cache.get('k')), 'theirs');
  await other.mtset('k', 'from a backup', 100);
  assert.equal(String(await cache.get('k')), 'from a backup');
});

test('an older write is refused and an equal one too', async () => {
  assert.equal(await cache.set('k', 'new', BEYOND_NUMBERS), true);
  assert.equal(await cache.set('k', 'old', BEYOND_NUMBERS - 1n), false);
  assert.equal(await cache.set('k', 'equal', BEYOND_NUMBERS), false);
  assert.equal(String(await cache.get('k')), 'new');
  assert.equal(cache.held.get('k').mtime, String(BEYOND_NUMBERS));
});

test('a key that is gone is gone here too', async () => {
  await cache.set('k', 'v', 100);
  await cache.get('k');
  await other.del('k');
  assert.equal(await cache.get('k'), null);
  assert.equal(cache.held.has('k'), false);
});

test('a late invalidation leaves a newer value', async () => {
  await cache.set('k', 'v', 100);
  assert.equal(await cache.delete('k', 99), false);
  assert.equal(await cache.delete('k', 101), true);
  assert.equal(await cache.get('k'), null);
});

test('an untracked value is sent and not held, and an empty one is a value', async () => {
  await cache.set('k', 'v', 100);
  await cache.get('k');
  await other.set('k', 'plain');
  assert.equal(String(await cache.get('k')), 'plain');
  assert.equal(cache.held.has('k'), false);
  await cache.set('empty', '', 100);
  assert.deepEqual([await cache.get('empty'), await cache.get('empty')], [Buffer.alloc(0), Buffer.alloc(0)]);
});

test('the commands in a transaction and for many keys', async () => {
  const replies = await other
    .multi()
    .mtset('a', '1', 10)
    .mtset('b', '2', 20)
    .mtget('a', 5, 'WITHMTIME')
    .mtmget('a', 10, 'b', 10, 'c', 10)
    .exec();
  assert.deepEqual(
    replies.slice(2).map(([, reply]) => reply),
    [{ mtime: '10', value: '1' }, [{ mtime: '10', value: null }, { mtime: '20', value: '2' }, null]],
  );
});

test('a key prefix is put in front of keys, and of nothing else', async () => {
  const prefixing = new Redis(port, { keyPrefix: 'app:' });
  const prefixed = new MtimeCache(prefixing);
  await prefixed.set('k', 'v', 100);
  assert.equal(String(await prefixed.get('k')), 'v');
  assert.deepEqual(await prefixing.mtmget('k', 50, 'k', 100), [{ mtime: '100', value: 'v' }, { mtime: '100', value: null }]);
  await prefixing.quit();
  assert.deepEqual(await other.mtget('app:k', 0, 'WITHMTIME'), { mtime: '100', value: 'v' });
});

test('in a cluster every key is found on its node', async () => {
  // Without redirections a command that guesses its node fails.
  const options = { maxRedirections: 0, enableAutoPipelining: true };
  const cluster = new Redis.Cluster([{ host: '127.0.0.1', port: Number(process.env.REDIS_CLUSTER_PORT) }], options);
  await cluster.ping();
  await Promise.all(cluster.nodes('master').map((node) => node.flushall()));
  const spread = new MtimeCache(cluster);
  const keys = Array.from({ length: 50 }, (_, number) => `key:${number}`);
  for (const key of keys) {
    assert.equal(await spread.set(key, key, 100), true);
    assert.equal(String(await spread.get(key)), key);
    assert.equal(String(await spread.get(key)), key);
  }
  const sizes = await Promise.all(cluster.nodes('master').map((node) => node.dbsize()));
  assert.equal(sizes.length, 3);
  assert.ok(sizes.every((size) => size > 0), String(sizes));
  await cluster.quit();
});
