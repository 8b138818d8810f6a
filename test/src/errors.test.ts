import { describe, expect, it } from 'vitest';
import { fileError, messageOf, SpateError } from '../../src/errors.js';

const errno = (code: string, message: string): Error => Object.assign(new Error(message), { code });

describe('SpateError', () => {
  it('has a code, a message and a cause', () => {
    const cause = new Error('why');
    const error = new SpateError('STALLED', 'no byte for 5 min', { cause });
    expect(error).toBeInstanceOf(Error);
    expect([error.name, error.code, error.message, error.cause]).toEqual([
      'SpateError',
      'STALLED',
      'no byte for 5 min',
      cause,
    ]);
    expect(String(error)).toBe('SpateError: no byte for 5 min');
  });
});

describe('messageOf', () => {
  it.each([
    [new Error('plain'), 'plain'],
    [new SpateError('USAGE', 'expected a port'), 'expected a port'],
    ['text', 'text'],
    [undefined, 'undefined'],
    [42, '42'],
    [{ code: 1 }, '[object Object]'],
    [new Error('first line\n    at somewhere\r\nlast line\n'), 'first line at somewhere last line'],
    ['\n', ''],
  ])('is one line: %j', (thrown, message) => {
    expect(messageOf(thrown)).toBe(message);
  });
});

describe('fileError', () => {
  it('says what could not be done and keeps the cause', () => {
    const cause = errno('EACCES', "EACCES: permission denied, open '/x'");
    const error = fileError('write /x', cause);
    expect(error).toBeInstanceOf(SpateError);
    expect(error).toMatchObject({
      code: 'LOCAL_IO',
      message: "cannot write /x: EACCES: permission denied, open '/x'",
      cause,
    });
  });

  it.each(['ENOSPC', 'EDQUOT'])('tells what to do about %s', (code) => {
    expect(fileError('write /x', errno(code, `${code}: no space`))).toMatchObject({
      code: 'DISK_FULL',
      message: `cannot write /x: ${code}: no space; free some space and run the same command again`,
    });
  });

  it('cuts a path that no screen has room for in the middle, both times it is named', () => {
    const path = `/start/${'d/'.repeat(3000)}end`;
    const { message } = fileError(`open ${path}`, errno('ENAMETOOLONG', `ENAMETOOLONG: name too long, open '${path}'`));
    expect(message).toMatch(/^cannot open \/start\/d[d/]+\.\.\.[d/]+\/end: ENAMETOOLONG: .*[d/]+\.\.\.[d/]+\/end'$/);
    expect(message.length).toBeLessThan(850);
  });

  it.each([undefined, null, 'text', 7])('takes anything thrown: %j', (thrown) => {
    expect(fileError('read /x', thrown)).toMatchObject({ code: 'LOCAL_IO', message: `cannot read /x: ${thrown}` });
  });
});
