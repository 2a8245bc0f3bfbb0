import { describe, expect, it } from 'vitest';
import { essentialName, fieldsCompatible, typesCompatible, typesMatch } from '../../src/btf/core_match.js';
import { side, type Types } from './core_types.js';

type Build = (t: Types) => number;
type Relation = typeof typesMatch;

const on = (relation: Relation | typeof fieldsCompatible, a: Build, b: Build) => {
  const [local, target] = [side(a), side(b)];
  return relation(local.btf, local.root, target.btf, target.root);
};

describe('essentialName', () => {
  it.each([
    ['task_struct', 'task_struct'],
    ['task_struct___old', 'task_struct'],
    ['a___b___c', 'a___b'],
    ['scx_bpf_dsq_insert___v2___compat', 'scx_bpf_dsq_insert___v2'],
    ['___leading', '___leading'],
    ['trailing___', 'trailing___'],
    ['four____underscores', 'four____underscores'],
    ['a___', 'a___'],
    ['a___b____c', 'a'],
    ['x__y', 'x__y'],
    ['', ''],
  ])('%j is %j', (name, essential) => {
    expect(essentialName(name)).toBe(essential);
  });
});

describe('fieldsCompatible', () => {
  it.each<[string, boolean, Build, Build]>([
    ['integers of any size and sign', true, (t) => t.s32, (t) => t.u64],
    ['pointers to anything', true, (t) => t.ptr(t.s32), (t) => t.ptr(t.struct('s'))],
    ['struct and union', true, (t) => t.struct('a'), (t) => t.union('b')],
    ['enum and int', false, (t) => t.enum('e', { A: 1 }), (t) => t.s32],
    ['int and pointer', false, (t) => t.u64, (t) => t.voidPtr],
    ['int and struct', false, (t) => t.u64, (t) => t.struct('a')],
    ['floats', true, (t) => t.float('float', 4), (t) => t.float('double', 8)],
    ['through typedef and const', true, (t) => t.typedef('u', t.const(t.u32)), (t) => t.volatile(t.u32)],
    ['enums of one name', true, (t) => t.enum('e___mine', { A: 1 }), (t) => t.enum('e', { B: 2 })],
    ['enums of different names', false, (t) => t.enum('e', { A: 1 }), (t) => t.enum('f', { A: 1 })],
    ['an anonymous enum', true, (t) => t.enum('', { A: 1 }), (t) => t.enum('f', { A: 1 })],
    ['enum and enum64', true, (t) => t.enum('e', { A: 1 }), (t) => t.enum64('e', { A: 1n })],
    ['arrays by element', true, (t) => t.array(t.s32, 4, t.u32), (t) => t.array(t.u64, 9, t.u32)],
    ['arrays of other elements', false, (t) => t.array(t.s32, 4, t.u32), (t) => t.array(t.voidPtr, 4, t.u32)],
    ['forward declarations of one name', true, (t) => t.fwd('a___x'), (t) => t.fwd('a')],
    ['forward declarations of two names', false, (t) => t.fwd('a'), (t) => t.fwd('b')],
    ['functions', false, (t) => t.funcProto(0, []), (t) => t.funcProto(0, [])],
  ])('%s: %s', (_what, expected, a, b) => {
    expect(on(fieldsCompatible, a, b)).toBe(expected);
  });
});

const proto =
  (...params: Build[]) =>
  (t: Types) => {
    const ids = params.map((param) => param(t));
    return t.funcProto(
      t.s32,
      ids.map((type, i) => ({ name: `p${i}`, type })),
    );
  };

describe('typesCompatible', () => {
  it.each<[string, boolean, Build, Build]>([
    ['structs of any members', true, (t) => t.struct('a', [{ name: 'x', type: t.s32 }]), (t) => t.struct('a')],
    ['struct and union', false, (t) => t.struct('a'), (t) => t.union('a')],
    ['enum and struct', false, (t) => t.enum('a', { A: 1 }), (t) => t.struct('a')],
    ['enum and enum64', true, (t) => t.enum('a', { A: 1 }), (t) => t.enum64('b', { B: 1n })],
    ['integers of any size', true, (t) => t.s32, (t) => t.u64],
    ['pointers to compatible types', true, (t) => t.ptr(t.s32), (t) => t.ptr(t.u64)],
    ['pointers to incompatible types', false, (t) => t.ptr(t.s32), (t) => t.ptr(t.struct('a'))],
    ['pointers to void', true, (t) => t.voidPtr, (t) => t.voidPtr],
    ['pointer to void and to int', false, (t) => t.voidPtr, (t) => t.ptr(t.s32)],
    [
      'prototypes',
      true,
      proto(
        (t) => t.s32,
        (t) => t.ptr(t.struct('s')),
      ),
      proto(
        (t) => t.u64,
        (t) => t.ptr(t.struct('z')),
      ),
    ],
    [
      'prototypes of other length',
      false,
      proto((t) => t.s32),
      proto(
        (t) => t.s32,
        (t) => t.s32,
      ),
    ],
    ['prototypes with another argument', false, proto((t) => t.s32), proto((t) => t.voidPtr)],
    ['prototypes with another result', false, (t) => t.funcProto(0, []), (t) => t.funcProto(t.s32, [])],
    ['typedef at the root only on one side', false, (t) => t.typedef('x', t.s32), (t) => t.s32],
  ])('%s: %s', (_what, expected, a, b) => {
    expect(on(typesCompatible, a, b)).toBe(expected);
  });

  it('gives up on pointers nested deeper than 32', () => {
    const deep = (levels: number) => (t: Types) => {
      let type = t.s32;
      for (let i = 0; i < levels; i++) type = t.ptr(type);
      return type;
    };
    expect(on(typesCompatible, deep(31), deep(31))).toBe(true);
    expect(on(typesCompatible, deep(32), deep(32))).toBeUndefined();
  });
});

describe('typesMatch', () => {
  it('gives up on structs nested deeper than 32', () => {
    const deep = (levels: number) => (t: Types) => {
      let type = t.s32;
      for (let i = 0; i < levels; i++) type = t.struct('s', [{ name: 'x', type }]);
      return type;
    };
    expect(on(typesMatch, deep(31), deep(31))).toBe(true);
    expect(on(typesMatch, deep(32), deep(32))).toBeUndefined();
  });

  const member = (name: string, type: Build) => (t: Types) => ({ name, type: type(t) });
  const struct =
    (name: string, ...members: ReturnType<typeof member>[]) =>
    (t: Types) =>
      t.struct(
        name,
        members.map((m) => m(t)),
      );
  it.each<[string, boolean, Build, Build]>([
    ['same integer', true, (t) => t.s32, (t) => t.s32],
    ['integer of another size', false, (t) => t.int('int', 8, { signed: true }), (t) => t.s32],
    ['integer of another sign', false, (t) => t.int('int', 4), (t) => t.s32],
    [
      'fewer members, other order',
      true,
      struct(
        'a',
        member('x', (t) => t.s32),
      ),
      struct(
        'a',
        member('y', (t) => t.u64),
        member('x', (t) => t.s32),
      ),
    ],
    [
      'a member that the kernel lacks',
      false,
      struct(
        'a',
        member('x', (t) => t.s32),
      ),
      struct(
        'a',
        member('y', (t) => t.s32),
      ),
    ],
    [
      'a member of another type',
      false,
      struct(
        'a',
        member('x', (t) => t.s32),
      ),
      struct(
        'a',
        member('x', (t) => t.u64),
      ),
    ],
    [
      'more members than the kernel',
      false,
      struct(
        'a',
        member('x', (t) => t.s32),
        member('y', (t) => t.s32),
      ),
      struct(
        'a',
        member('x', (t) => t.s32),
      ),
    ],
    ['struct and union', false, (t) => t.struct('a'), (t) => t.union('a')],
    [
      'pointed-to struct by name alone',
      true,
      (t) =>
        t.ptr(
          struct(
            'a',
            member('x', (u) => u.s32),
          )(t),
        ),
      (t) => t.ptr(t.struct('a')),
    ],
    ['pointed-to struct of another name', false, (t) => t.ptr(t.struct('a')), (t) => t.ptr(t.struct('b'))],
    ['forward declaration behind a pointer', true, (t) => t.ptr(t.struct('a')), (t) => t.ptr(t.fwd('a'))],
    ['local forward declaration of a union', true, (t) => t.ptr(t.fwd('a', true)), (t) => t.ptr(t.union('a'))],
    ['local forward declaration of the wrong kind', false, (t) => t.ptr(t.fwd('a', true)), (t) => t.ptr(t.struct('a'))],
    ['two forward declarations of a struct', true, (t) => t.fwd('a'), (t) => t.fwd('a')],
    ['forward declarations of struct and union', false, (t) => t.fwd('a'), (t) => t.fwd('a', true)],
    ['both, behind a pointer', false, (t) => t.ptr(t.fwd('a', true)), (t) => t.ptr(t.fwd('a'))],
    ['forward declaration outside a pointer', false, (t) => t.fwd('a'), (t) => t.struct('a')],
    ['arrays of one length', true, (t) => t.array(t.s32, 3, t.u32), (t) => t.array(t.s32, 3, t.u32)],
    ['arrays of another length', false, (t) => t.array(t.s32, 3, t.u32), (t) => t.array(t.s32, 4, t.u32)],
    ['enum by names, values aside', true, (t) => t.enum('e', { A: 1 }), (t) => t.enum('e', { B: 1, A: 7 })],
    ['enum with an unknown name', false, (t) => t.enum('e', { A: 1 }), (t) => t.enum('e', { B: 1, C: 2 })],
    ['enum of another size', false, (t) => t.enum('e', { A: 1 }), (t) => t.enum64('e', { A: 1n })],
    ['enum and enum64 of one size', true, (t) => t.enum('e', { A: 1 }, { size: 8 }), (t) => t.enum64('e', { A: 1n })],
    ['prototypes', true, proto((t) => t.ptr(t.struct('s'))), proto((t) => t.ptr(t.struct('s')))],
    ['prototypes of another length', false, proto(), proto((t) => t.s32)],
    ['prototypes with another argument', false, proto((t) => t.s32), proto((t) => t.u64)],
    ['prototypes with another result', false, (t) => t.funcProto(t.u64, []), proto()],
    ['pointer and integer', false, (t) => t.ptr(t.int('', 8)), (t) => t.int('', 8)],
    ['void and a struct', false, (t) => t.ptr(0), (t) => t.ptr(t.struct('a'))],
    ['prototypes with other pointees', false, proto((t) => t.ptr(t.struct('s'))), proto((t) => t.ptr(t.struct('z')))],
    [
      'flavoured member struct',
      true,
      struct('a', member('in', struct('b___x'))),
      struct('a', member('in', struct('b'))),
    ],
  ])('%s: %s', (_what, expected, a, b) => {
    expect(on(typesMatch, a, b)).toBe(expected);
  });
});
