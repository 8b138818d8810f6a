/** What became of a batch, as JSON, CSV or Markdown. Pure: who measured it, and where it is written, is not known here. */
import { SpateError } from '../errors.js';
import { quantile } from '../statistics.js';
import { escapeControls, jsonLine, shortened } from '../text.js';
import { formatBytes, formatPart, formatRate, formatSeconds } from '../units.js';

/** How an item stands: `already` was complete before it began, `duplicate` has the infohash of an earlier one, `invalid` was never one. */
export type RowState = 'done' | 'already' | 'failed' | 'invalid' | 'stopped' | 'queued' | 'duplicate';

/** One item. Bytes, seconds, bytes per second; `null` is what was never reached. */
export interface Row {
  readonly id: string | null;
  readonly source: string;
  /** `list.txt:12` */
  readonly place: string;
  readonly infohash: string | null;
  readonly name: string | null;
  /** Where the payload is. */
  readonly path: string | null;
  readonly state: RowState;
  /** Of the wanted files; 0 when unknown. */
  readonly length: number;
  /** Of them, verified and on disk. */
  readonly have: number;
  /** Received and kept, sent, and received in vain, in this run. */
  readonly downloaded: number;
  readonly uploaded: number;
  readonly wasted: number;
  /** From the start of the batch to its first start. */
  readonly queueSeconds: number | null;
  /** From its start to its metadata. */
  readonly metadataSeconds: number | null;
  /** From its start to its first byte of payload. */
  readonly firstByteSeconds: number | null;
  /** From its start to its end, all attempts together. */
  readonly seconds: number | null;
  readonly downRate: number | null;
  readonly attempts: number;
  readonly error: { readonly code: string; readonly message: string } | null;
}

export type ReportFormat = 'json' | 'csv' | 'md';

/** Of those items that have the time at all; `null` when none has. */
export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
}

/** Bytes and seconds; times as in `Row`. */
export interface Totals {
  readonly items: number;
  /** How many are in each state; states with none are left out. */
  readonly states: Partial<Record<RowState, number>>;
  readonly length: number;
  readonly have: number;
  readonly downloaded: number;
  readonly uploaded: number;
  readonly wasted: number;
  /** From the start of the batch to its end. */
  readonly wallSeconds: number;
  /** Bytes received and kept per second of it. */
  readonly goodput: number;
  readonly times: Readonly<Record<Time, Percentiles | null>>;
}

const TIMES = ['queueSeconds', 'metadataSeconds', 'firstByteSeconds', 'seconds'] as const;
type Time = (typeof TIMES)[number];

/** Characters of any text. */
const MAX_TEXT = 16_384;

/** @throws SpateError USAGE for a file name with another ending */
export function reportFormat(path: string): ReportFormat {
  const ending = /\.(json|csv|md)$/i.exec(path)?.[1]?.toLowerCase();
  if (ending !== undefined) return ending as ReportFormat;
  throw new SpateError('USAGE', `expected a report named .json, .csv or .md, got "${path}"`);
}

export function renderReport(format: ReportFormat, rows: readonly Row[], wallSeconds: number): string {
  if (format === 'csv') return csv(rows);
  const totals = totalsOf(rows, wallSeconds);
  return format === 'json' ? json(rows, totals) : markdown(rows, totals);
}

export function totalsOf(rows: readonly Row[], wallSeconds: number): Totals {
  const sum = (pick: (row: Row) => number): number => rows.reduce((total, row) => total + pick(row), 0);
  const states: Partial<Record<RowState, number>> = {};
  for (const { state } of rows) states[state] = (states[state] ?? 0) + 1;
  // A duplicate has the bytes of another row.
  const length = sum((row) => (row.state === 'duplicate' ? 0 : row.length));
  const downloaded = sum((row) => row.downloaded);
  const times = Object.fromEntries(TIMES.map((time) => [time, percentilesOf(rows, time)]));
  return {
    items: rows.length,
    states,
    length,
    have: sum((row) => (row.state === 'duplicate' ? 0 : row.have)),
    downloaded,
    uploaded: sum((row) => row.uploaded),
    wasted: sum((row) => row.wasted),
    wallSeconds: milli(wallSeconds),
    goodput: wallSeconds > 0 ? Math.round(downloaded / wallSeconds) : 0,
    times: times as Totals['times'],
  };
}

function percentilesOf(rows: readonly Row[], time: Time): Percentiles | null {
  const values = rows.flatMap((row) => row[time] ?? []);
  return values.length === 0 ? null : { p50: milli(quantile(values, 0.5)), p95: milli(quantile(values, 0.95)) };
}

/** One row a line: thousands of them can be searched and compared by line. */
function json(rows: readonly Row[], totals: Totals): string {
  const items = rows.map((row) => `\n${jsonLine(rounded(row))}`).join(',');
  return `{"v":1,"totals":${jsonLine(totals)},"items":[${items}\n]}\n`;
}

/** RFC 4180: a header, CRLF, quotes. Rows only; what a spreadsheet would compute is a text. */
function csv(rows: readonly Row[]): string {
  const records = rows.map((row) => {
    const { error, ...facts } = rounded(row);
    return [...Object.values(facts), error?.code ?? null, error?.message ?? null].map(csvCell).join(',');
  });
  return [CSV_HEAD, ...records, ''].join('\r\n');
}

/** In the order of `rounded`. */
const CSV_HEAD = [
  'id,source,place,infohash,name,path,state,length,have,downloaded,uploaded,wasted',
  'queueSeconds,metadataSeconds,firstByteSeconds,seconds,downRate,attempts,errorCode,errorMessage',
].join(',');

function csvCell(value: string | number | null): string {
  if (typeof value !== 'string') return value === null ? '' : String(value);
  const text = escapeControls(value);
  // A name comes from strangers: `=cmd|...` is run by who opens it in a spreadsheet. The exact text is in the JSON.
  const harmless = /^\s*[=+\-@]/.test(text) ? `'${text}` : text;
  return /[",]|^\s|\s$/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

function markdown(rows: readonly Row[], totals: Totals): string {
  const { items, states, length, have, downloaded, uploaded, wasted, wallSeconds, goodput, times } = totals;
  const counts = Object.entries(states).map(([state, count]) => `${count} ${state}`);
  const facts: [string, string][] = [
    ['items', counts.length === 0 ? '0' : `${items}: ${counts.join(', ')}`],
    ['on disk', formatPart(have, length)],
    ['received', `${formatBytes(downloaded)} in ${formatSeconds(wallSeconds)} (${formatRate(goodput)})`],
    ['sent', formatBytes(uploaded)],
    ['wasted', formatBytes(wasted)],
  ];
  const percentiles = TIMES.map((time) => {
    const { p50, p95 } = times[time] ?? { p50: null, p95: null };
    return [TIME_NAMES[time], secondsCell(p50), secondsCell(p95)];
  });
  const parts = [
    '# Batch',
    table(['', ''], facts),
    table(['time', 'p50', 'p95'], percentiles),
    table(['item', 'state', 'size', 'time', 'rate', 'attempts', 'place', 'error'], rows.map(markdownRow)),
  ];
  return `${parts.join('\n\n')}\n`;
}

const TIME_NAMES: Readonly<Record<Time, string>> = {
  queueSeconds: 'in the queue',
  metadataSeconds: 'to metadata',
  firstByteSeconds: 'to the first byte',
  seconds: 'to the end',
};

function markdownRow(row: Row): string[] {
  const { id, name, source, state, length, have, seconds, downRate, attempts, place, error } = rounded(row);
  const isWhole = have === length || state === 'duplicate';
  return [
    id ?? name ?? source,
    state,
    length === 0 ? '' : isWhole ? formatBytes(length) : formatPart(have, length),
    secondsCell(seconds),
    downRate === null ? '' : formatRate(downRate),
    String(attempts),
    place,
    error === null ? '' : `${error.code}: ${error.message}`,
  ].map(markdownText);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Shown as it stands: no markup, no link, no mention, no new cell. */
function markdownText(text: string): string {
  return escapeControls(text)
    .replace(/[\\`*_[\]<>|&~@$]/g, '\\$&')
    .replace(/:(?=\/\/)/g, '\\:')
    .replace(/(?<=^|\s)www\./gi, (www) => www.replace('.', '\\.'));
}

function secondsCell(seconds: number | null): string {
  return seconds === null ? '' : formatSeconds(seconds);
}

/** A row as it is written: every field, in this order, bounded. */
function rounded(row: Row): Row {
  const { error } = row;
  return {
    id: row.id === null ? null : shortened(row.id, MAX_TEXT),
    source: shortened(row.source, MAX_TEXT),
    place: shortened(row.place, MAX_TEXT),
    infohash: row.infohash,
    name: row.name === null ? null : shortened(row.name, MAX_TEXT),
    path: row.path === null ? null : shortened(row.path, MAX_TEXT),
    state: row.state,
    length: row.length,
    have: row.have,
    downloaded: row.downloaded,
    uploaded: row.uploaded,
    wasted: row.wasted,
    queueSeconds: milliOrNull(row.queueSeconds),
    metadataSeconds: milliOrNull(row.metadataSeconds),
    firstByteSeconds: milliOrNull(row.firstByteSeconds),
    seconds: milliOrNull(row.seconds),
    downRate: row.downRate === null ? null : Math.round(row.downRate),
    attempts: row.attempts,
    error: error === null ? null : { code: error.code, message: shortened(error.message, MAX_TEXT) },
  };
}

const milli = (seconds: number): number => Math.round(seconds * 1000) / 1000;

const milliOrNull = (seconds: number | null): number | null => (seconds === null ? null : milli(seconds));
