/**
 * Piece buffers that come home count against the limit of V8's heap. Above 8 MB, which main's has with a hundred torrents or on
 * Node 24, it is allowed twice what was alive: at full speed V8 would mark all of it thirty times a second, a quarter of the CPU. For
 * programs of this package: a library leaves V8 alone.
 */
import { setFlagsFromString } from 'node:v8';

/** The heap may grow to four times what was alive, which is what V8 itself takes when it has to collect rarely. */
export const HEAP_FLAG = '--heap-growing-percent=300';

/** With another set of flags Node compiles its own modules anew for each thread that starts, 30 ms each: not at a start. */
const AFTER_MS = 300;

/** Lets the heap of a process that runs for longer than a moment grow; keeps none running. */
export function raiseHeapLimit(): void {
  setTimeout(() => setFlagsFromString(HEAP_FLAG), AFTER_MS).unref();
}
