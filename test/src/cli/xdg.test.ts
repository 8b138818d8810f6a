import { isAbsolute } from 'node:path';
import { expect, it, vi } from 'vitest';
import { stateFolder } from '../../../src/cli/xdg.js';

it.each([
  ['/state', '/state/spate'],
  ['', '/home/me/.local/state/spate'],
  ['relative', '/home/me/.local/state/spate'],
  [undefined, '/home/me/.local/state/spate'],
])('with XDG_STATE_HOME=%s what is remembered lies in %s', (state, expected) => {
  expect(stateFolder({ XDG_STATE_HOME: state }, '/home/me')).toBe(expected);
});

it.each(['', 'relative'])('never lies in the working directory, not with HOME=%s either', (home) => {
  vi.stubEnv('HOME', home);
  try {
    expect(isAbsolute(stateFolder({ XDG_STATE_HOME: '' }))).toBe(true);
  } finally {
    vi.unstubAllEnvs();
  }
});
