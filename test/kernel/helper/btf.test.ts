import { beforeEach, describe, expect, test } from 'vitest';
import { BTF_KIND } from '../../../src/btf/types.js';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import { runText } from '../run_text.js';

const COMPACT = 1;
const ZERO = 8;

let k: Kernel;
beforeEach(async () => {
  k = await Kernel.create({ windowBytes: 4 << 20 });
});

/** bpf_snprintf_btf of a kernel object: the text in the context, and the result. */
function snprintf(ptr: string, type: number, { flags = 0, room = 200, size = 16 } = {}) {
  const ctx = new Uint8Array(256);
  const source = `
    r6 = r1
    ${ptr}
    *(u64 *)(r10 - 16) = r0
    r1 = ${type}
    *(u32 *)(r10 - 8) = r1
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r1 = r6
    r2 = ${room}
    r3 = r10
    r3 += -16
    r4 = ${size}
    r5 = ${flags}
    call snprintf_btf
    exit`;
  const result = runText(k, source, ctx);
  return { result, text: new TextDecoder().decode(ctx.subarray(0, ctx.indexOf(0))) };
}

const CURRENT = 'call get_current_task_btf';
const struct = (name: string) => k.profile.btf.find(name, BTF_KIND.STRUCT);

/** A mask of CPUs 0 and 2 in r0. */
function mask(): string {
  const ptr = k.newObject('cpumask', { name: 'mask', modelled: ['bits'] });
  k.memory.setU64n(ptr, 5);
  return `r0 = 0x${k.memory.address(ptr).toString(16)} ll`;
}

describe('bpf_snprintf_btf', () => {
  test('shows an object of the kernel', () => {
    const address = mask();
    const { result, text } = snprintf(address, struct('cpumask'), { flags: COMPACT });
    expect(text).toBe('(struct cpumask){.bits = (long unsigned int[])[5,],}');
    expect(result).toBe(text.length);
  });

  test('counts what finds no room', () => {
    const address = mask();
    const whole = snprintf(address, struct('cpumask'), { flags: COMPACT });
    const cut = snprintf(address, struct('cpumask'), { flags: COMPACT, room: 10 });
    expect(cut).toEqual({ result: whole.result, text: whole.text.slice(0, 9) });
  });

  test('a field that is not modelled stops it by name', () => {
    expect(() => snprintf(CURRENT, struct('task_struct'), { flags: ZERO })).toThrow(
      /task_struct\.\S+ of task .* is not modelled/,
    );
  });

  test('errno of bad arguments', () => {
    expect(snprintf(CURRENT, struct('cpumask'), { flags: 16 }).result).toBe(-ERRNO.EINVAL);
    expect(snprintf(CURRENT, struct('cpumask'), { size: 8 }).result).toBe(-ERRNO.EINVAL);
    expect(snprintf(CURRENT, 0).result).toBe(-ERRNO.EINVAL);
    expect(snprintf(CURRENT, k.profile.btf.typeCount).result).toBe(-ERRNO.ENOENT);
    expect(snprintf('r0 = 0', struct('cpumask')).result).toBe(-ERRNO.EFAULT);
    expect(snprintf('r0 = 0x1234', struct('cpumask')).result).toBe(-ERRNO.EFAULT);
  });
});
