/** placeholder replaced by the metainfo work; the types are the contract. */
/** One file of a torrent, in torrent order. */
export interface MetainfoFile {
  /** Safe relative path below the download folder, one element per folder; the torrent's name is the first element of a multi-file torrent. */
  readonly path: readonly string[];
  /** Bytes. */
  readonly length: number;
  /** Offset in the torrent of its first byte. */
  readonly offset: number;
}

/** What a `.torrent` says (BEP 3), checked: whoever holds one may trust every number in it. */
export interface Metainfo {
  /** SHA-1 of the raw bytes of `info`, 20 bytes. */
  readonly infohash: Uint8Array;
  /** The raw bytes of `info`. */
  readonly info: Uint8Array;
  /** Safe name: of the file, or of the folder of a multi-file torrent. */
  readonly name: string;
  /** Bytes in the torrent. */
  readonly length: number;
  readonly pieceLength: number;
  /** 20 bytes per piece, concatenated. */
  readonly pieceHashes: Uint8Array;
  readonly files: readonly MetainfoFile[];
  readonly private: boolean;
  /** Announce URLs by tier (BEP 12), as the torrent lists them. */
  readonly trackers: readonly (readonly string[])[];
  readonly comment?: string;
  readonly createdBy?: string;
  /** Seconds since 1970. */
  readonly creationDate?: number;
}
