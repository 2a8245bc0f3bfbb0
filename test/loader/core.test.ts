import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CoReResolver } from '../../src/btf/core.js';
import { BTF_KIND } from '../../src/btf/types.js';
import { Linker } from '../../src/loader/link.js';
import { encodeValue } from '../../src/loader/value.js';
import type { CallTarget } from '../../src/vm/types.js';
import { Vm } from '../../src/vm/vm.js';
import { fixture } from './fixtures.js';

/** Programs compiled against fixtures/core_types.h as the program knows it, run on memory laid out as its kernel has it. */
describe('clang programs on a kernel with other types', () => {
  const object = fixture('core');
  const kernelBtf = fixture('core_kernel').btf;
  if (!object.btf || !kernelBtf) throw new Error('fixtures without BTF');
  const kernel = kernelBtf;
  const linker = new Linker(object, new CoReResolver(object.btf, kernel));
  const thingType = kernel.find('thing', BTF_KIND.STRUCT);
  const thing = {
    plain: 1234,
    resized: 0x1_0000_0005n,
    bits: 0x5a5,
    signed_resized: -9n,
    in: { inserted: 1n, x: -3, y: 44 },
    array: [0, 0, 0, -8],
    pointer: 0x1111_2222_3333_4444n,
    name: 'kernel',
  };
  let vm: Vm;
  beforeAll(async () => {
    vm = await Vm.create({ windowBytes: 16 << 20, cpus: 1 });
  });
  afterAll(() => vm.dispose());

  function link(name: string) {
    const program = object.programs.find((candidate) => candidate.name === name);
    if (!program) throw new Error(`no program ${name}`);
    return linker.link(program);
  }

  function run(name: string) {
    const code = link(name);
    const calls = new Map(
      [...code.poisoned].map(([insn, text]): [number, CallTarget] => [insn, { kind: 'missing', name: text }]),
    );
    const prog = vm.loadProg({ name, insns: code.insns, calls, checks: 'object', faults: 'kernel', engine: 'interp' });
    const ptr = vm.memory.alloc(512, { name: 'thing' });
    try {
      const bytes = new Uint8Array(512);
      encodeValue(kernel, { type: thingType, bitOffset: 0, bitSize: 0 }, thing, bytes);
      new DataView(bytes.buffer).setBigUint64(kernel.sizeOf(thingType) + 16, 99n, true);
      vm.memory.bytes(ptr, 512).set(bytes);
      const result = vm.run(prog, { args: [vm.memory.address(ptr)] });
      return { ...result, ptr, plain: vm.memory.u32(ptr + Number(kernel.member(thingType, 'plain')?.bitOffset) / 8) };
    } finally {
      vm.memory.free(ptr);
      prog.free();
    }
  }

  const id = (name: string) => BigInt(kernel.find(name, BTF_KIND.STRUCT));
  const u64 = (value: number | bigint) => BigInt.asUintN(64, BigInt(value));
  it.each([
    ['load_u32', 1234n],
    // A u32 that became a u64: the load widens.
    ['load_resized', 0x1_0000_0005n],
    ['load_nested', u64(44)],
    ['load_array', u64(-8)],
    ['load_pointer', 0x1111_2222_3333_4444n],
    ['load_tail', 99n],
    ['offset', BigInt(Number(kernel.path(thingType, 'in.y')?.bitOffset) / 8)],
    ['size', 32n],
    ['exists', 1n],
    ['exists_not', 0n],
    ['is_signed', 1n],
    ['bits_right', 53n],
    ['id_local', BigInt(object.btf.find('fresh', BTF_KIND.STRUCT))],
    ['id_target', id('fresh')],
    ['type_exists', 1n],
    ['type_exists_not', 0n],
    ['type_size', 16n],
    ['type_matches', 1n],
    ['type_matches_not', 0n],
    ['enum_exists', 1n],
    ['enum_exists_not', 0n],
    ['enum_value', u64(-20)],
    ['enum_value_wide', 1n << 45n],
    ['guarded', 5n],
  ])('%s returns %d', (name, expected) => {
    const { r0, fault } = run(name);
    expect(fault?.message).toBeUndefined();
    expect(r0).toBe(expected);
  });

  it('reads a bitfield through offset, size and shifts', () => {
    const place = kernel.member(thingType, 'bits');
    const bit = Number(place?.bitOffset);
    const value = (name: string) => Number(run(name).r0);
    const [offset, size] = [value('bits_offset'), value('bits_size')];
    // The load covers the field, and the left shift leaves its highest bit on top.
    expect(offset * 8).toBeLessThanOrEqual(bit);
    expect((offset + size) * 8).toBeGreaterThanOrEqual(bit + 11);
    expect(value('bits_left')).toBe(64 - (bit + 11 - offset * 8));
  });

  it.each([
    ['address', 'name', 0],
    ['next', 'in', 1],
  ])('%s of a member', (name, member, index) => {
    const { r0, ptr } = run(name);
    const offset = Number(kernel.member(thingType, member)?.bitOffset) / 8 + index * kernel.sizeOf(thingType);
    expect(r0 - vm.memory.address(ptr)).toBe(BigInt(offset));
  });

  it.each([
    ['store_reg', u64(-3) & 0xffff_ffffn],
    ['store_imm', 77n],
  ])('%s writes where the kernel has the field', (name, expected) => {
    expect(BigInt(run(name).plain)).toBe(expected);
  });

  it.each([
    ['load_missing', "CO-RE relocation thing.missing does not exist in the kernel's BTF"],
    ['enum_value_missing', "CO-RE relocation level::LEVEL_GONE does not exist in the kernel's BTF"],
    ['load_signed_resized', 'CO-RE relocation thing.signed_resized accesses a field that has 8 bytes and not 4'],
  ])('%s faults by name when it is executed', (name, text) => {
    expect(run(name).fault?.message).toContain(text);
  });

  it('leaves a guarded access as dead code', () => {
    expect([...link('guarded').poisoned.values()]).toEqual([
      "CO-RE relocation thing.missing does not exist in the kernel's BTF",
    ]);
  });
});
