/** A process of a bench: given one job, heard until it has said what is waited for, ended when told or when the bench dies. */
import { SpateError } from '../errors.js';
import { spawnSpate } from '../swarm/spate-process.js';

export interface Child<Report extends { readonly type: string }> {
  readonly pid: number;
  /**
   * The next report of a type; one waits at a time.
   * @throws SpateError INTERNAL when the process says that it failed, or ends
   */
  next<T extends Report['type']>(type: T): Promise<Extract<Report, { type: T }>>;
  /** Anything but the job is a question for its usage. */
  send(message: unknown): void;
  stop(): Promise<void>;
}

/** The part of what a process says on stderr that is told when it fails. */
const TOLD_CHARACTERS = 500;

/** @param program a built one */
export function startChild<Report extends { readonly type: string }>(program: URL, job: unknown): Child<Report> {
  const { child, exited, stop } = spawnSpate([], { program, stdout: 'pipe', stderr: 'pipe', ipc: true });
  let words = '';
  child.stdout?.resume();
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-TOLD_CHARACTERS);
  });
  const reports: Report[] = [];
  let waiting: (() => void) | undefined;
  let gone: string | undefined;
  child.on('message', (report) => {
    reports.push(report as Report);
    waiting?.();
  });
  exited.then(
    ({ code, signal }) => {
      gone = `ended with ${signal ?? `exit code ${code}`}: ${words}`;
      waiting?.();
    },
    (error: unknown) => {
      gone = String(error);
      waiting?.();
    },
  );
  child.send(job as object);
  return {
    pid: child.pid!,
    async next<T extends Report['type']>(type: T) {
      for (;;) {
        const failed = reports.find((report) => report.type === 'failed') as { message?: string } | undefined;
        if (failed !== undefined) throw new SpateError('INTERNAL', `a process of the bench failed: ${failed.message}`);
        const at = reports.findIndex((report) => report.type === type);
        if (at !== -1) return reports.splice(at, 1)[0] as Extract<Report, { type: T }>;
        if (gone !== undefined) throw new SpateError('INTERNAL', `a process of the bench ${gone}`);
        await new Promise<void>((heard) => {
          waiting = heard;
        });
      }
    },
    send: (message) => void (child.connected && child.send(message as object)),
    async stop() {
      await stop('SIGKILL').catch(() => {});
    },
  };
}
