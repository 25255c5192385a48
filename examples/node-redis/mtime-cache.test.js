// Against real servers: REDIS_PORT is one that stands alone, REDIS_CLUSTER_PORT a node of a cluster.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { createClient, createCluster } from 'redis';
import { mtime, MtimeCache } from './mtime-cache.js';

const url = `redis://127.0.0.1:${process.env.REDIS_PORT}`;
const BINARY = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
// One more would be lost in a Number.
const BEYOND_NUMBERS = 2n ** 53n + 1n;

const client = createClient({ url, modules: { mtime } });
const other = createClient({ url, modules: { mtime } });
let cache;

before(() => Promise.all([client.connect(), other.connect()]));
after(() => Promise.all([client.close(), other.close()]));
beforeEach(async () => {
  await other.flushAll();
  cache = new MtimeCache(client);
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
  await other.mtime.set('k', 'theirs', 201);
  assert.equal(String(await cache.get('k')), 'theirs');
  await other.mtime.set('k', 'from a backup', 100);
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

test('the commands in a transaction and for many keys, in both protocols', async () => {
  for (const RESP of [2, 3]) {
    const speaking = await createClient({ url, RESP, modules: { mtime } }).connect();
    const replies = await speaking
      .multi()
      .mtime.set('a', '1', 10)
      .mtime.set('b', '2', 20)
      .mtime.get('a', 5)
      .mtime.mGet({ a: 10, b: 10, c: 10 })
      .exec();
    assert.deepEqual(replies.slice(2), [
      { mtime: '10', value: '1' },
      [{ mtime: '10', value: null }, { mtime: '20', value: '2' }, null],
    ]);
    await speaking.close();
  }
});

test('a key prefix is put in front of the key, and of nothing else', async () => {
  const prefixing = await createClient({ url, keyPrefix: 'app:', modules: { mtime } }).connect();
  const prefixed = new MtimeCache(prefixing);
  await prefixed.set('k', 'v', 100);
  assert.equal(String(await prefixed.get('k')), 'v');
  await prefixing.close();
  assert.deepEqual(await other.mtime.get('app:k', 0), { mtime: '100', value: 'v' });
});

test('in a cluster every key is found on its node', async () => {
  const rootNodes = [{ url: `redis://127.0.0.1:${process.env.REDIS_CLUSTER_PORT}` }];
  const cluster = await createCluster({ rootNodes, modules: { mtime } }).connect();
  await Promise.all(cluster.masters.map(async (node) => (await cluster.nodeClient(node)).flushAll()));
  const spread = new MtimeCache(cluster);
  const keys = Array.from({ length: 50 }, (_, number) => `key:${number}`);
  for (const key of keys) {
    assert.equal(await spread.set(key, key, 100), true);
    assert.equal(String(await spread.get(key)), key);
    assert.equal(String(await spread.get(key)), key);
  }
  const sizes = await Promise.all(cluster.masters.map(async (node) => (await cluster.nodeClient(node)).dbSize()));
  assert.equal(sizes.length, 3);
  assert.ok(sizes.every((size) => size > 0), String(sizes));
  await cluster.close();
});
