/** Where the command keeps what it remembers, by the XDG base directory specification. */
import { homedir, userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** `$XDG_STATE_HOME/spate`, `~/.local/state/spate` when that is unset or, against the specification, relative. */
export function stateFolder(env: NodeJS.ProcessEnv = process.env, home: string = homeFolder()): string {
  const { XDG_STATE_HOME: state } = env;
  return join(state !== undefined && isAbsolute(state) ? state : join(home, '.local', 'state'), 'spate');
}

/** `$HOME`; the user's own where that is empty or relative, and the root, as is usual, for a user without one. */
function homeFolder(): string {
  const home = homedir();
  if (isAbsolute(home)) return home;
  try {
    return userInfo().homedir;
  } catch {
    return '/';
  }
}
