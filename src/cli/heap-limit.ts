/**
 * Piece buffers that come home count against the limit of V8's heap. With hundreds of torrents main's heap has some 10 MB, is
 * allowed as much again, and one fast torrent among them would have V8 mark all of it thirty times a second, a quarter of the CPU.
 */
import { setFlagsFromString } from 'node:v8';

/** The heap may grow to four times what was alive, which is what V8 itself takes when it has to collect rarely. */
export const HEAP_FLAG = '--heap-growing-percent=300';

/** For a long run: Node compiles its own modules anew for each thread that starts with another set of flags, 28 ms each. */
export function raiseHeapLimit(): void {
  setFlagsFromString(HEAP_FLAG);
}
