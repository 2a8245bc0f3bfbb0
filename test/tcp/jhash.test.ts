import { expect, test } from 'vitest';
import { jhash } from '../../src/tcp/jhash.js';

const bytes = (text: string) => new TextEncoder().encode(text);

test('hashes as lookup3 does: the vectors of its author', () => {
  expect(jhash(bytes(''), 0)).toBe(0xdeadbeef);
  expect(jhash(bytes(''), 0xdeadbeef)).toBe(0xbd5b7dde);
  expect(jhash(bytes('Four score and seven years ago'), 0)).toBe(0x17770551);
  expect(jhash(bytes('Four score and seven years ago'), 1)).toBe(0xcd628161);
});
