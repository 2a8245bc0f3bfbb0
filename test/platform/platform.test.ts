import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { InputError, VmtableError } from '../../src/errors.js';
import * as browser from '../../src/platform/browser.js';
import * as node from '../../src/platform/node.js';
import { packageRoot, unpackedSize } from '../../src/platform/shared.js';

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('package root', () => {
  it('lies two folders above the source and three above the built modules', () => {
    expect(packageRoot('file:///p/src/platform/node.ts').href).toBe('file:///p/');
    expect(packageRoot('file:///p/dist/src/platform/node.js').href).toBe('file:///p/');
    expect(packageRoot('file:///p/dist/lib/platform/node.js').href).toBe('file:///p/');
  });
  it('ignores what a development server appends', () => {
    expect(packageRoot('http://h/p/src/platform/browser.ts?t=12').href).toBe('http://h/p/');
  });
});

describe('readAsset in Node', () => {
  it('reads a file of the package', async () => {
    const text = new TextDecoder().decode(await node.readAsset('package.json'));
    expect(JSON.parse(text).name).toBe('vmtable');
  });
  it('gives plain bytes, not a Buffer', async () => {
    expect((await node.readAsset('package.json')).constructor).toBe(Uint8Array);
  });
  it('names the file that is missing', async () => {
    await expect(node.readAsset('profiles/0.0.btf.gz')).rejects.toThrow(VmtableError);
    await expect(node.readAsset('profiles/0.0.btf.gz')).rejects.toThrow('package file profiles/0.0.btf.gz');
  });
});

describe('readAsset in a browser', () => {
  it('fetches beside the package and returns the body', async () => {
    const asked: string[] = [];
    vi.stubGlobal('fetch', async (url: URL) => {
      asked.push(url.href);
      return new Response(new Uint8Array([1, 2, 3]));
    });
    expect(await browser.readAsset('profiles/7.3.btf.gz')).toEqual(new Uint8Array([1, 2, 3]));
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatch(/\/profiles\/7\.3\.btf\.gz$/);
  });
  it('names file and status of a refusal, and the cause of a broken connection', async () => {
    vi.stubGlobal('fetch', async () => new Response('', { status: 404 }));
    await expect(browser.readAsset('profiles/x')).rejects.toThrow(/package file profiles\/x: .* answered 404/);
    vi.stubGlobal('fetch', async () => {
      throw new TypeError('no network');
    });
    await expect(browser.readAsset('profiles/x')).rejects.toThrow(/profiles\/x: .*no network/);
    await expect(browser.readAsset('profiles/x')).rejects.toThrow(VmtableError);
  });
});

describe.each([
  ['node', node],
  ['browser', browser],
] as const)('gunzip (%s)', (_name, platform) => {
  const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) >> 3);

  it('unpacks', async () => {
    const out = await platform.gunzip(gzipSync(bytes));
    expect(out.constructor).toBe(Uint8Array);
    expect(out.length).toBe(bytes.length);
    expect(out.every((byte, i) => byte === bytes[i])).toBe(true);
  });
  it.each([
    ['empty input', new Uint8Array(0)],
    ['no gzip', new TextEncoder().encode('plain text')],
    ['a truncated stream', gzipSync(bytes).subarray(0, 500)],
    ['a wrong checksum', corrupted(gzipSync(bytes), 6)],
    ['a length of 4 GiB', corrupted(gzipSync(bytes), 1)],
    ['a length that is too small', corrupted(gzipSync(bytes), 2)],
  ])('refuses %s with an InputError', async (_what, input) => {
    await expect(platform.gunzip(input)).rejects.toThrow(InputError);
    await expect(platform.gunzip(input)).rejects.toThrow(/^gzip: /);
  });
});

describe.each([
  ['node', node],
  ['browser', browser],
] as const)('decodeBase64 (%s)', (_name, platform) => {
  it.each([0, 1, 2, 3, 255, 256])('gives back %i bytes', (length) => {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 7) ^ 0xff);
    const out = platform.decodeBase64(btoa(String.fromCharCode(...bytes)));
    expect(out.constructor).toBe(Uint8Array);
    expect(out).toEqual(bytes);
  });
});

describe('unpacked size', () => {
  it('is what the stream ends with', () => {
    expect(unpackedSize(gzipSync(new Uint8Array(70_000)))).toBe(70_000);
  });
  it('is 0 for what is too short to say', () => {
    expect(unpackedSize(new Uint8Array(3))).toBe(0);
  });
});

/** The stream with one byte inverted, counted from its end. */
function corrupted(stream: Uint8Array, fromEnd: number): Uint8Array {
  const copy = Uint8Array.from(stream);
  const at = copy.length - fromEnd;
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}
