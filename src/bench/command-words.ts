/** A command as people write it, taken apart the way a shell does it, but run without one: nothing in a path is ever code. Pure. */
import { SpateError } from '../errors.js';

/**
 * Words between spaces; quotes of both kinds and a backslash keep what they guard.
 * @throws SpateError USAGE for a quote that is not closed
 */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character === '\\' && quote !== "'" && i + 1 < text.length) word = (word ?? '') + text[++i];
    else if (character === quote) quote = '';
    else if (quote === '' && (character === '"' || character === "'")) {
      quote = character;
      word ??= '';
    } else if (quote === '' && /\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + character;
  }
  if (quote !== '') throw new SpateError('USAGE', `expected a closing ${quote} in: ${text}`);
  return word === undefined ? words : [...words, word];
}

/** As one would type it: words that need it in single quotes. */
export function joinWords(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./{}-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}

/**
 * The words with each `{name}` replaced; `${name}` is left to a shell.
 * @throws SpateError USAGE for a name there is none of
 */
export function fillIn(words: readonly string[], values: Readonly<Record<string, string | number>>): string[] {
  return words.map((word) =>
    word.replaceAll(/(?<!\$)\{(\w+)\}/g, (_, name: string) => {
      if (Object.hasOwn(values, name)) return String(values[name]);
      const known = Object.keys(values).map((each) => `{${each}}`);
      throw new SpateError('USAGE', `expected one of ${known.join(' ')} in a command, got {${name}}`);
    }),
  );
}
