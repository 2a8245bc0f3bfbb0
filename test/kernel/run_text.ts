import { expect } from 'vitest';
import { assemble } from '../../src/asm/index.js';
import { BTF_KIND } from '../../src/btf/types.js';
import type { Kernel } from '../../src/kernel/kernel.js';
import type { BpfAttr } from '../../src/kernel/types.js';

/** Text with `call NAME` of helpers and kfuncs and `rN = &VARIABLE` of the kernel's variables resolved, as insns. */
export function assembleText(k: Kernel, text: string): Uint8Array {
  const numberOf = (name: string) => [...k.helpers.names].find(([, helper]) => helper === name)?.[0] ?? 0;
  const kfuncs: [number, number][] = [];
  const variables: [number, number][] = [];
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  const source = lines
    .map((line) => line.replace(/^(r\d) = &\w+$/, '$1 = 0 ll'))
    .map((line) => line.replace(/^call ([a-z]\w*)$/, (_call, name: string) => `call ${numberOf(name)}`))
    .join('\n');
  const insns = assemble(`${source}\n`);
  let at = 0;
  for (const line of lines) {
    const name = /^call ([a-z]\w*)$/.exec(line)?.[1];
    if (name && numberOf(name) === 0) kfuncs.push([at, k.profile.btf.find(name, BTF_KIND.FUNC)]);
    const variable = / = &(\w+)$/.exec(line)?.[1];
    if (variable) variables.push([at, k.profile.btf.find(variable, BTF_KIND.VAR)]);
    at += variable || / ll$/.test(line) ? 2 : 1;
  }
  const view = new DataView(insns.buffer, insns.byteOffset);
  for (const [i, id] of kfuncs) {
    insns[i * 8 + 1] = 0x20;
    if (id === 0) throw new Error(`call at ${i}: no such helper or kfunc`);
    view.setInt32(i * 8 + 4, id, true);
  }
  for (const [i, id] of variables) {
    if (id === 0) throw new Error(`insn ${i}: no such variable`);
    insns[i * 8 + 1] = (insns[i * 8 + 1]! & 0x0f) | 0x30;
    view.setInt32(i * 8 + 4, id, true);
  }
  return insns;
}

/** Runs such text as a sleepable syscall program over a context; r0 as a signed 32-bit number. */
export function runText(k: Kernel, text: string, ctx_in?: Uint8Array): number {
  const log = { text: '' };
  const insns = assembleText(k, text);
  const prog_fd = k.bpf('PROG_LOAD', { prog_type: 31, prog_flags: 16, insns, license: 'GPL', log });
  if (prog_fd < 0) throw new Error(log.text);
  const attr: BpfAttr['PROG_TEST_RUN'] = { prog_fd, ...(ctx_in && { ctx_in }) };
  expect(k.bpf('PROG_TEST_RUN', attr)).toBe(0);
  return attr.retval! | 0;
}
