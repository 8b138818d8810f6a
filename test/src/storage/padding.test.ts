import { expect, it } from 'vitest';
import { paddingChecked } from '../../../src/storage/padding.js';
import { contentOf, table } from '../../helpers/fs-table.js';

const files = table(10, { length: 6, pad: true }, 10);

it('verified pieces are written, their padding being zeros; other bytes there are an error of the torrent, and are not', async () => {
  const written: number[] = [];
  const storage = paddingChecked(files, { write: async (offset) => void written.push(offset) });
  const content = contentOf(files);
  await storage.write(0, [content]);
  await storage.write(4, [content.subarray(4, 12), content.subarray(12, 20)]);
  const wrong = content.slice();
  wrong[15] = 1;
  await expect(storage.write(0, [wrong])).rejects.toMatchObject({
    code: 'BAD_DATA',
    message: expect.stringContaining('expected zeros in its padding of 6 bytes at 10'),
  });
  await storage.write(16, [wrong.subarray(16)]);
  expect(written).toEqual([0, 4, 16]);
});

it('a torrent without padding is written as it is', () => {
  const storage = { write: async () => {} };
  expect(paddingChecked(table(10, 10), storage)).toBe(storage);
});
