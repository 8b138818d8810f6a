/** The version of this package, from its package.json: beside `src` in the sources, one folder further up in the build. */
import { existsSync, readFileSync } from 'node:fs';

const candidates = ['../package.json', '../../package.json'].map((path) => new URL(path, import.meta.url));

export const VERSION: string = JSON.parse(readFileSync(candidates.find((url) => existsSync(url))!, 'utf8')).version;
