/** Where the command keeps what it remembers, by the XDG base directory specification. */
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** `$XDG_STATE_HOME/spate`, `~/.local/state/spate` when that is unset or, against the specification, relative. */
export function stateFolder(env: NodeJS.ProcessEnv = process.env, home: string = homedir()): string {
  const { XDG_STATE_HOME: state } = env;
  return join(state !== undefined && isAbsolute(state) ? state : join(home, '.local', 'state'), 'spate');
}
