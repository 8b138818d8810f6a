/** What is said of a figure that was measured several times. Pure. */

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** @throws RangeError for no values at all */
export function spreadOf(values: readonly number[]): Spread {
  return { min: quantile(values, 0), median: quantile(values, 0.5), max: quantile(values, 1) };
}

/**
 * The value below which a part of the values lies, between two of them in proportion.
 * @param part 0 to 1
 * @throws RangeError for no values at all
 */
export function quantile(values: readonly number[], part: number): number {
  if (values.length === 0) throw new RangeError('expected at least one value, got none');
  const sorted = Float64Array.from(values).sort();
  const at = (sorted.length - 1) * part;
  const below = sorted[Math.floor(at)]!;
  return below + (sorted[Math.ceil(at)]! - below) * (at % 1);
}
