/** How long what is complete is given to others: until the first of these is reached. */
export interface SeedGoal {
  /** Bytes sent for each byte of the torrent; `Infinity` for no limit. */
  readonly ratio: number;
  /** `Infinity` for no limit. */
  readonly ms: number;
}

/** Until it is stopped. */
export const FOR_EVER: SeedGoal = { ratio: Number.POSITIVE_INFINITY, ms: Number.POSITIVE_INFINITY };

/**
 * @param uploaded bytes
 * @param length bytes of the torrent that are wanted
 * @param seededMs since it is complete
 */
export function isReached({ ratio, ms }: SeedGoal, uploaded: number, length: number, seededMs: number): boolean {
  return seededMs >= ms || (ratio < Number.POSITIVE_INFINITY && uploaded >= ratio * length);
}
