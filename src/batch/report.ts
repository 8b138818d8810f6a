/** What became of a batch, as JSON, CSV or Markdown. Pure: who measured it, and where it is written, is not known here. */

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
