/**
 * Globs that choose files of a torrent: `*` and `?` within a name, `**` over folders, `[a-z]`, `[!a-z]`, `{a,b}`, `\` before
 * what stands for itself. Not regular expressions: names come from strangers, and one scan that goes back to the last star only
 * takes no more than pattern times name.
 */
import { SpateError } from '../errors.js';

/** One character of a pattern; `star` is any number of them. */
type Token = 'star' | ((character: string) => boolean);
/** One element of a path; `deep` is any number of them. */
type Element = 'deep' | readonly Token[];

const MAX_LENGTH = 4096;
/** What `{a,b}{c,d}…` may grow to. */
const MAX_ALTERNATIVES = 1000;

/**
 * A pattern with a `/` is matched with the whole path, with or without the torrent's own folder, any other with the file's name.
 * Case counts.
 * @throws SpateError USAGE for a pattern that is not closed, too long or empty
 */
export function compileGlob(pattern: string): (path: readonly string[]) => boolean {
  const matches = compilePathGlob(pattern);
  if (!pattern.includes('/')) return (path) => matches(path.slice(-1));
  return (path) => matches(path) || (path.length > 1 && matches(path.slice(1)));
}

/** A pattern of whole paths. @throws SpateError USAGE */
export function compilePathGlob(pattern: string): (path: readonly string[]) => boolean {
  if (pattern === '' || pattern.length > MAX_LENGTH) throw malformed(pattern, `1 to ${MAX_LENGTH} characters`);
  const alternatives = expand(pattern, pattern).map((each) =>
    each
      .replace(/^\/|\/$/g, '')
      .split('/')
      .map((element) => compileElement(element, pattern)),
  );
  return (path) => alternatives.some((elements) => wild(elements, path, (each) => each === 'deep', matchesElement));
}

function matchesElement(element: Element, name: string): boolean {
  const isStar = (token: Token): boolean => token === 'star';
  return wild(element as readonly Token[], [...name], isStar, (token, character) =>
    (token as Exclude<Token, 'star'>)(character),
  );
}

/** Whether items match a pattern in which stars stand for any number of them. */
function wild<P, T>(
  pattern: readonly P[],
  items: readonly T[],
  isStar: (part: P) => boolean,
  matches: (part: P, item: T) => boolean,
): boolean {
  let [part, item, lastStar, resume] = [0, 0, -1, 0];
  while (item < items.length) {
    if (part < pattern.length && isStar(pattern[part]!)) {
      lastStar = part++;
      resume = item;
    } else if (part < pattern.length && matches(pattern[part]!, items[item]!)) {
      part++;
      item++;
    } else if (lastStar >= 0) {
      part = lastStar + 1;
      item = ++resume;
    } else return false;
  }
  while (part < pattern.length && isStar(pattern[part]!)) part++;
  return part === pattern.length;
}

function compileElement(text: string, pattern: string): Element {
  if (text === '**') return 'deep';
  const tokens: Token[] = [];
  const characters = [...text];
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i]!;
    if (character === '*') {
      if (tokens.at(-1) !== 'star') tokens.push('star');
    } else if (character === '?') tokens.push(() => true);
    else if (character === '[') {
      // A `]` that comes first is one of the set.
      const negated = characters[i + 1] === '!' || characters[i + 1] === '^';
      const start = i + (negated ? 2 : 1);
      const end = characters.indexOf(']', start + 1);
      if (end < 0) throw malformed(pattern, 'a `]` for each `[`');
      const has = setOf(characters.slice(start, end));
      tokens.push((each) => has(each) !== negated);
      i = end;
    } else {
      const literal = character === '\\' ? characters[++i] : character;
      if (literal === undefined) throw malformed(pattern, 'a character after `\\`');
      tokens.push((each) => each === literal);
    }
  }
  return tokens;
}

/** `a-z_` */
function setOf(characters: readonly string[]): (character: string) => boolean {
  const ranges: [string, string][] = [];
  for (let i = 0; i < characters.length; i++) {
    const isRange = characters[i + 1] === '-' && i + 2 < characters.length;
    ranges.push([characters[i]!, characters[isRange ? i + 2 : i]!]);
    if (isRange) i += 2;
  }
  return (each) => ranges.some(([from, to]) => from <= each && each <= to);
}

/** The patterns that one with `{a,b}` stands for. */
function expand(text: string, pattern: string): string[] {
  const open = indexOfPlain(text, '{', 0);
  if (open < 0) return [text];
  const parts: string[] = [];
  let depth = 0;
  let start = open + 1;
  let close = -1;
  for (let i = open; i < text.length && close < 0; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '{') depth++;
    else if (text[i] === ',' && depth === 1) {
      parts.push(text.slice(start, i));
      start = i + 1;
    } else if (text[i] === '}' && --depth === 0) close = i;
  }
  if (close < 0) throw malformed(pattern, 'a `}` for each `{`');
  parts.push(text.slice(start, close));
  const rests = expand(text.slice(close + 1), pattern);
  const expanded = parts
    .flatMap((part) => expand(part, pattern))
    .flatMap((part) => rests.map((rest) => text.slice(0, open) + part + rest));
  if (expanded.length > MAX_ALTERNATIVES) throw malformed(pattern, `at most ${MAX_ALTERNATIVES} alternatives`);
  return expanded;
}

/** Of a character that no `\` stands before. */
function indexOfPlain(text: string, wanted: string, from: number): number {
  for (let i = from; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === wanted) return i;
  }
  return -1;
}

function malformed(pattern: string, expected: string): SpateError {
  return new SpateError('USAGE', `expected a glob with ${expected}, got "${pattern}"`);
}
