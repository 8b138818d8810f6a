/**
 * The only code that prints. stdout takes data and nothing else; what happens goes to stderr, where on a terminal a block of
 * live lines stands below it. Everything is printed with control characters written out.
 */
import { messageOf } from '../errors.js';
import { escapeControls, truncate } from '../text.js';

export type ColorChoice = 'auto' | 'always' | 'never';

export interface OutputSettings {
  /** Errors and data only. */
  readonly quiet?: boolean | undefined;
  /** Details, and the stack of errors. */
  readonly verbose?: boolean | undefined;
  readonly color?: ColorChoice | undefined;
}

/** What is used of `process.stdout` and `process.stderr`. */
export interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

export interface OutputStreams {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: NodeJS.ProcessEnv;
}

const COLORS = { red: 31, green: 32, yellow: 33 } as const;

export class Output {
  /** Whether stderr is a terminal that takes live lines. */
  readonly isLive: boolean;
  readonly isQuiet: boolean;
  readonly #settings: OutputSettings;
  readonly #streams: OutputStreams;
  readonly #warned = new Set<string>();
  #live: readonly string[] = [];

  constructor(settings: OutputSettings, streams: OutputStreams = process) {
    this.#settings = settings;
    this.#streams = streams;
    this.isQuiet = settings.quiet === true;
    this.isLive = !this.isQuiet && isTerminal(streams.stderr, streams.env);
  }

  /** Rows and columns that live lines may take; the last column stays free, where terminals wrap. */
  get room(): { readonly columns: number; readonly rows: number } {
    const { columns = 80, rows = 24 } = this.#streams.stderr;
    return { columns: Math.max(1, columns - 1), rows: Math.max(1, rows - 1) };
  }

  /** A line of data. */
  data(line: string): void {
    this.#above(() => this.#streams.stdout.write(`${line}\n`));
  }

  /** A line of data for people that begins with a word of good news. */
  success(word: string, rest: string): void {
    this.data(`${this.#paint(this.#streams.stdout, 'green', word)} ${escapeControls(rest)}`);
  }

  /** One line that says what went wrong, and with `-v` where. */
  error(error: unknown, about?: string): void {
    const prefix = about === undefined ? '' : `${about}: `;
    this.#line(`${this.#paint(this.#streams.stderr, 'red', 'spate:')} ${escapeControls(prefix + messageOf(error))}`);
    const stack = error instanceof Error ? error.stack : undefined;
    if (this.#settings.verbose && stack !== undefined) for (const line of stack.split('\n')) this.#note(line);
  }

  /** Said once, however often it happens. */
  warning(text: string): void {
    if (this.isQuiet || this.#warned.has(text)) return;
    this.#warned.add(text);
    this.#line(`spate: ${this.#paint(this.#streams.stderr, 'yellow', 'warning:')} ${escapeControls(text)}`);
  }

  note(text: string): void {
    if (!this.isQuiet) this.#note(text);
  }

  /** With `-v` only. */
  detail(text: string): void {
    if (this.#settings.verbose) this.#note(text);
  }

  /** Replaces the live lines; none ends them. */
  live(lines: readonly string[]): void {
    if (!this.isLive) return;
    const { columns, rows } = this.room;
    const shown = lines.slice(-rows).map((line) => truncate(escapeControls(line), columns));
    this.#streams.stderr.write(redrawn(this.#live.length, shown));
    this.#live = shown;
  }

  #note(text: string): void {
    this.#line(escapeControls(text));
  }

  #line(text: string): void {
    this.#above(() => this.#streams.stderr.write(`${text}\n`));
  }

  /** Writes where the live lines stand, and puts them back below. */
  #above(write: () => void): void {
    const live = this.#live;
    if (live.length > 0) this.#streams.stderr.write(redrawn(live.length, []));
    write();
    if (live.length > 0) this.#streams.stderr.write(redrawn(0, live));
  }

  #paint(stream: OutputStream, color: keyof typeof COLORS, text: string): string {
    if (!usesColor(this.#settings.color ?? 'auto', stream, this.#streams.env)) return text;
    return `\x1b[${COLORS[color]}m${text}\x1b[0m`;
  }
}

/** What takes the cursor from the end of `before` lines to their first, draws the lines and erases what is left below. */
export function redrawn(before: number, lines: readonly string[]): string {
  const up = before > 1 ? `\x1b[${before - 1}A` : '';
  const start = before > 0 ? `\r${up}` : '';
  return `${start}${lines.map((line) => `${line}\x1b[K`).join('\n')}${before > lines.length ? '\x1b[J' : ''}`;
}

/** `--color` decides, then `FORCE_COLOR` (`0` is a no), then `NO_COLOR`, then whether it is a terminal. */
export function usesColor(choice: ColorChoice, stream: OutputStream, env: NodeJS.ProcessEnv): boolean {
  if (choice !== 'auto') return choice === 'always';
  const { FORCE_COLOR: force, NO_COLOR: no } = env;
  if (force !== undefined && force !== '') return force !== '0' && force !== 'false';
  return !no && isTerminal(stream, env);
}

function isTerminal(stream: OutputStream, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && env.TERM !== 'dumb';
}
