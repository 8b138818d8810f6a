import { expect, test } from 'vitest';
import { FOR_EVER, isReached } from '../../src/seed-goal.js';

test.each([
  [{ ratio: 2, ms: 1000 }, 199, 100, 999, false],
  [{ ratio: 2, ms: 1000 }, 200, 100, 0, true],
  [{ ratio: 2, ms: 1000 }, 0, 100, 1000, true],
  [{ ratio: 0, ms: 1000 }, 0, 100, 0, true],
  [FOR_EVER, 1e15, 100, 1e12, false],
  [FOR_EVER, 0, 0, 0, false],
])('the first limit counts: %j after %d of %d bytes and %d ms: %s', (goal, uploaded, length, ms, reached) => {
  expect(isReached(goal, uploaded, length, ms)).toBe(reached);
});
