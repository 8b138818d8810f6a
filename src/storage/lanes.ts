/** Many small file operations, a few at a time: one after the other each waits for its turn of the thread pool alone. */

/** No more than the thread pool has threads. */
const LANES = 4;

/** Runs something for each item, at most `most` at a time; all that began have ended when this rejects with the first failure. */
export async function each<T>(
  items: readonly T[],
  run: (item: T, index: number) => Promise<void>,
  most = LANES,
): Promise<void> {
  if (items.length === 1) return await run(items[0]!, 0);
  const queue = items.entries();
  const lane = async (): Promise<void> => {
    for (const [index, item] of queue) await run(item, index);
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(most, items.length) }, lane));
  for (const ended of lanes) if (ended.status === 'rejected') throw ended.reason;
}
