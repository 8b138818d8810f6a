import { expect, test } from 'vitest';
import { type Evidence, type Limit, verdictOf } from '../../../src/bench/verdict.js';

const IDLE: Evidence = {
  goodput: 100,
  ceilings: { hash: 500, disk: 900, net: 800 },
  mainUtilisation: 0.2,
  groupUtilisation: [0.3, 0.4],
  seederUtilisation: 0.3,
  seedersThrottled: false,
  reads: false,
};

test.each<[Limit, string, Partial<Evidence>]>([
  ['seeders', 'they were told to be slow', { seedersThrottled: true, mainUtilisation: 1 }],
  ['seeders', 'the peers are busy', { seederUtilisation: 0.95 }],
  ['main loop', 'main is busy', { mainUtilisation: 0.9 }],
  ['hash', 'goodput is near its ceiling', { goodput: 400 }],
  ['disk', 'goodput is near its ceiling', { goodput: 90, ceilings: { hash: 500, disk: 100, net: 800 } }],
  ['network', 'goodput is near its ceiling', { goodput: 90, ceilings: { hash: 500, net: 100 } }],
  ['hash', 'groups are busy and hashing is the dearer half', { groupUtilisation: [0.95, 0.5] }],
  ['network', 'groups are busy and nothing is hashed', { groupUtilisation: [0.95], ceilings: {} }],
  ['disk', 'data are read slower than hashed', { reads: true, ceilings: { hash: 500 } }],
  ['scheduler', 'nobody is busy', {}],
])('is %s when %s', (limit, _, facts) => {
  expect(verdictOf({ ...IDLE, ...facts }).limit).toBe(limit);
});
