/**
 * Piscina, required as the CommonJS it is: `import` would lex its files for named exports first, which costs every start of
 * the command 70 ms (Node 20.20).
 */
import { createRequire } from 'node:module';

const piscina: typeof import('piscina') = createRequire(import.meta.url)('piscina');

export const Piscina = piscina.Piscina;
export type Piscina = InstanceType<typeof piscina.Piscina>;
