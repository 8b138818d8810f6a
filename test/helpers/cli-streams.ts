// What the command line prints to, kept as text.
import type { OutputStreams } from '../../src/cli/output.js';

/** @param terminal what stderr says of itself, as a terminal does; stdout is none */
export function fakeStreams(
  terminal: { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number } = {},
  env: NodeJS.ProcessEnv = {},
): { readonly streams: OutputStreams; stdout(): string; stderr(): string } {
  let [out, err] = ['', ''];
  const streams: OutputStreams = {
    stdout: {
      write: (text) => {
        out += text;
      },
    },
    stderr: {
      ...terminal,
      write: (text) => {
        err += text;
      },
    },
    env,
  };
  return { streams, stdout: () => out, stderr: () => err };
}
