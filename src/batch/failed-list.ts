/** Items that failed, as a list that can be given again: each with its reason as a comment above it. Pure; `list.ts` reads it. */
import { formatFileRanges } from '../storage/selection.js';
import { escapeControls, jsonLine, shortened } from '../text.js';
import { type Entry, formatPlace, type Place } from './entry.js';

export interface Failed {
  readonly place: Place;
  /** As in `Refused`: what stands there. */
  readonly source: string;
  /** Absent for a line that is none: it is kept as a comment. */
  readonly entry?: Entry | undefined;
  /** In one line. */
  readonly reason: string;
}

const MAX_COMMENT = 2000;

export function failedList(failed: readonly Failed[]): string {
  return failed
    .map(({ place, source, entry, reason }) => {
      const why = comment(`${formatPlace(place)}: ${reason}`);
      return `${why}${entry === undefined ? comment(source) : `${entryLine(entry)}\n`}`;
    })
    .join('');
}

/** What `parseList` reads back as the entry, at another place. */
export function entryLine({ source, id, out, select, maxDown }: Entry): string {
  const isBare = id === undefined && out === undefined && select === undefined && maxDown === undefined;
  if (isBare && isPlain(source)) return source;
  return jsonLine({
    source,
    id,
    out,
    select: select && formatFileRanges(select),
    max_down: maxDown,
  });
}

/** Whether a line says a source as it stands. */
function isPlain(source: string): boolean {
  return source.trim() === source && !/^[#{\ufeff]/.test(source) && escapeControls(source) === source;
}

function comment(text: string): string {
  return `# ${escapeControls(shortened(text, MAX_COMMENT))}\n`;
}
