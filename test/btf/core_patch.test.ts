import { describe, expect, it } from 'vitest';
import { CO_RE, CoReResolver, type CoReResult } from '../../src/btf/core.js';
import { applyCoRe, patchInsn } from '../../src/btf/core_patch.js';
import { side } from './core_types.js';

/** One 8-byte insn; `imm64` appends the second half of an LD_IMM64. */
function insn(op: number, { dst = 0, src = 0, off = 0, imm = 0 } = {}, imm64?: number): Uint8Array {
  const bytes = new Uint8Array(imm64 === undefined ? 8 : 16);
  const view = new DataView(bytes.buffer);
  bytes[0] = op;
  bytes[1] = dst | (src << 4);
  view.setInt16(2, off, true);
  view.setInt32(4, imm, true);
  if (imm64 !== undefined) view.setInt32(12, imm64, true);
  return bytes;
}

const hex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
const BAD_CALL = hex(insn(0x85, { imm: 0xbad2310 }));

function result(changes: Partial<CoReResult>): CoReResult {
  return {
    kind: CO_RE.FIELD_BYTE_OFFSET,
    originalValue: 4n,
    value: 20n,
    poison: false,
    validate: true,
    originalSize: 4,
    size: 4,
    refuseResize: false,
    found: true,
    subject: 's.x',
    ...changes,
  };
}

describe('patched forms', () => {
  it.each([
    ['rX = imm', insn(0xb7, { dst: 1, imm: 4 }), insn(0xb7, { dst: 1, imm: 20 })],
    ['wX = imm', insn(0xb4, { dst: 1, imm: 4 }), insn(0xb4, { dst: 1, imm: 20 })],
    ['rX += imm', insn(0x07, { dst: 2, imm: 4 }), insn(0x07, { dst: 2, imm: 20 })],
    ['rX <<= imm', insn(0x67, { dst: 2, imm: 4 }), insn(0x67, { dst: 2, imm: 20 })],
    ['load', insn(0x61, { dst: 1, src: 2, off: 4 }), insn(0x61, { dst: 1, src: 2, off: 20 })],
    ['sign-extending load', insn(0x81, { dst: 1, src: 2, off: 4 }), insn(0x81, { dst: 1, src: 2, off: 20 })],
    ['store of a register', insn(0x63, { dst: 1, src: 2, off: 4 }), insn(0x63, { dst: 1, src: 2, off: 20 })],
    ['store of an immediate', insn(0x62, { dst: 1, off: 4, imm: 7 }), insn(0x62, { dst: 1, off: 20, imm: 7 })],
    ['rX = imm64', insn(0x18, { dst: 3, imm: 4 }, 0), insn(0x18, { dst: 3, imm: 20 }, 0)],
  ])('%s', (_form, before, after) => {
    expect(patchInsn(before, 0, result({}))).toBeUndefined();
    expect(hex(before)).toBe(hex(after));
  });

  it('writes both halves of a 64-bit value, and reads them', () => {
    const code = insn(0x18, { imm: -2 }, 1);
    patchInsn(code, 0, result({ originalValue: 0x1_ffff_fffen, value: 0xdead_beef_8000_0001n }));
    expect(hex(code)).toBe(hex(insn(0x18, { imm: 0x80000001 | 0 }, 0xdeadbeef | 0)));
  });

  it('compares immediates as sign-extended', () => {
    const code = insn(0xb7, { imm: -1 });
    patchInsn(code, 0, result({ originalValue: 0xffff_ffff_ffff_ffffn, value: 0xffff_ffff_ffff_fff9n }));
    expect(hex(code)).toBe(hex(insn(0xb7, { imm: -7 })));
  });

  it('changes only the insn it is for', () => {
    const code = new Uint8Array(24);
    code.set(insn(0x61, { off: 4 }), 8);
    patchInsn(code, 1, result({}));
    expect(hex(code)).toBe(`${'00'.repeat(8)}${hex(insn(0x61, { off: 20 }))}${'00'.repeat(8)}`);
  });
});

describe('access size', () => {
  it.each([
    [1, 0x71],
    [2, 0x69],
    [8, 0x79],
  ])('adapts a 4-byte load to %d', (size, op) => {
    const code = insn(0x61, { off: 4 });
    patchInsn(code, 0, result({ size }));
    expect(hex(code)).toBe(hex(insn(op, { off: 20 })));
  });

  it('adapts stores too', () => {
    const code = insn(0x63, { off: 4 });
    patchInsn(code, 0, result({ size: 8 }));
    expect(hex(code)).toBe(hex(insn(0x7b, { off: 20 })));
  });

  it('refuses an insn of another size, and sizes that no load has', () => {
    expect(() => patchInsn(insn(0x79, { off: 4 }), 0, result({ size: 8 }))).toThrow(
      'unexpected mem size: got 8, exp 4',
    );
    expect(() => patchInsn(insn(0x61, { off: 4 }), 0, result({ size: 3 }))).toThrow('invalid new mem size: 3: EINVAL');
  });

  it('poisons where another size would read another value', () => {
    const code = insn(0x61, { off: 4 });
    const text = patchInsn(code, 0, result({ size: 8, refuseResize: true }));
    expect(text).toBe("CO-RE relocation s.x accesses a field that has 8 bytes and not 4 in the kernel's BTF");
    expect(hex(code)).toBe(BAD_CALL);
  });

  it('does not mind the size in an address computation', () => {
    const code = insn(0x07, { imm: 4 });
    expect(patchInsn(code, 0, result({ size: 8, refuseResize: true }))).toBeUndefined();
    expect(hex(code)).toBe(hex(insn(0x07, { imm: 20 })));
  });
});

describe('poison', () => {
  const poison = result({ poison: true });
  it('makes one invalid call of an insn, two of a wide one', () => {
    const code = new Uint8Array(24).fill(0xff);
    code.set(insn(0x61, { dst: 1, src: 2, off: 4, imm: 9 }));
    code.set(insn(0x18, { dst: 5, imm: 4 }, 4), 8);
    expect(patchInsn(code, 0, poison)).toBe("CO-RE relocation s.x does not exist in the kernel's BTF");
    expect(hex(code.subarray(0, 8))).toBe(BAD_CALL);
    patchInsn(code, 1, poison);
    expect(hex(code)).toBe(BAD_CALL.repeat(3));
  });
});

describe('what does not fit its relocation', () => {
  it.each([
    ['ALU/ALU64', insn(0xb7, { imm: 5 })],
    ['LDX/ST/STX', insn(0x61, { off: 5 })],
    ['LDIMM64', insn(0x18, { imm: 4 }, 1)],
  ])('%s with another value', (form, code) => {
    const before = hex(code);
    expect(() => patchInsn(code, 0, result({}))).toThrow(`byte_off of s.x: unexpected insn (${form}) value`);
    expect(hex(code)).toBe(before);
    expect(patchInsn(code, 0, result({ validate: false }))).toBeUndefined();
  });

  it.each([
    ['an ALU insn without immediate', insn(0xbf), 'has no immediate'],
    ['a jump', insn(0x15, { imm: 4 }), 'unrecognized insn, code 0x15'],
    ['an LD_IMM64 of a map', insn(0x18, { src: 1, imm: 4 }, 0), 'unexpected form'],
    ['a legacy packet load', insn(0x20, { imm: 4 }), 'unexpected form'],
  ])('%s', (_what, code, text) => {
    expect(() => patchInsn(code, 0, result({}))).toThrow(text);
  });

  it('an offset that no load has', () => {
    const code = insn(0x61, { off: 4 });
    expect(() => patchInsn(code, 0, result({ value: 0x8000n }))).toThrow('value too big: 32768: ERANGE (-34)');
    expect(patchInsn(code, 0, result({ value: 0x7fffn }))).toBeUndefined();
  });

  it.each([-1, 1, 0.5])('an insn at index %d of 1', (index) => {
    expect(() => patchInsn(insn(0xb7, { imm: 4 }), index, result({}))).toThrow('beyond the function');
  });

  it('half a wide insn', () => {
    expect(() => patchInsn(insn(0x18, { imm: 4 }), 0, result({}))).toThrow('beyond the function');
  });
});

describe('applyCoRe', () => {
  it('patches a function and tells what must not be reached', () => {
    const local = side((t) =>
      t.struct('s', [
        { name: 'gone', type: t.u32 },
        { name: 'x', type: t.u32 },
      ]),
    );
    const kernel = side((t) =>
      t.struct('s', [
        { name: 'new', type: t.u64 },
        { name: 'x', type: t.u32 },
      ]),
    );
    const code = new Uint8Array([...insn(0x61, { off: 4 }), ...insn(0x61, { off: 0 }), ...insn(0xb7, { imm: 1 })]);
    const relo = (at: number, accessor: string, kind: number) => ({ insn: at, type: local.root, accessor, kind });
    const resolver = new CoReResolver(local.btf, kernel.btf);
    const relos = [
      relo(0, '0:1', CO_RE.FIELD_BYTE_OFFSET),
      relo(1, '0:0', CO_RE.FIELD_BYTE_OFFSET),
      relo(2, '0:0', CO_RE.FIELD_EXISTS),
    ];
    const text = "CO-RE relocation s.gone does not exist in the kernel's BTF";
    expect(applyCoRe(code, relos, resolver)).toEqual([{ insn: 1, text }]);
    expect(hex(code)).toBe(hex(insn(0x61, { off: 8 })) + BAD_CALL + hex(insn(0xb7, { imm: 0 })));
  });

  it('names both slots of a wide insn', () => {
    const local = side((t) => t.enum('e', { A: 1 }));
    const kernel = side((t) => t.enum('e', { B: 1 }));
    const code = new Uint8Array([...insn(0xb7), ...insn(0x18, { imm: 1 }, 0)]);
    const relos = [{ insn: 1, type: local.root, accessor: '0', kind: CO_RE.ENUMVAL_VALUE }];
    const poisoned = applyCoRe(code, relos, new CoReResolver(local.btf, kernel.btf));
    expect(poisoned.map((poison) => poison.insn)).toEqual([1, 2]);
    expect(new Set(poisoned.map((poison) => poison.text))).toEqual(
      new Set(["CO-RE relocation e::A does not exist in the kernel's BTF"]),
    );
  });

  it('puts the insn in front of errors', () => {
    const local = side((t) => t.struct('s', [{ name: 'x', type: t.u32 }]));
    const resolver = new CoReResolver(local.btf, local.btf);
    const relos = [{ insn: 3, type: local.root, accessor: '0:9', kind: CO_RE.FIELD_BYTE_OFFSET }];
    expect(() => applyCoRe(new Uint8Array(64), relos, resolver)).toThrow('insn 3: CO-RE byte_off');
  });
});
