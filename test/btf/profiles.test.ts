import { readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { formatDeclaration, formatType } from '../../src/btf/format.js';
import { BTF_KIND } from '../../src/btf/types.js';
import { Btf } from './build.js';

const FOLDER = new URL('../../profiles/', import.meta.url);

describe.each(readdirSync(FOLDER).filter((file) => file.endsWith('.btf.gz')))('the kernel BTF %s', (file) => {
  const raw = new Uint8Array(gunzipSync(readFileSync(new URL(file, FOLDER))));
  const btf = Btf.parse(raw);

  it('is sound in every type', () => {
    expect(btf.validate()).toBe(btf);
  });

  it('finds by name what a walk over all types finds', () => {
    const first = new Map<string, number>();
    for (let id = btf.typeCount - 1; id > 0; id--) if (btf.nameOf(id) !== '') first.set(btf.nameOf(id), id);
    let seen = 0;
    for (const [name, id] of first) if (btf.find(name) === id) seen++;
    expect(seen).toBe(first.size);
  });

  it('knows struct_ops types, kfuncs and enumerators', () => {
    const ops = btf.find('sched_ext_ops', BTF_KIND.STRUCT);
    expect(btf.member(btf.find('bpf_struct_ops_sched_ext_ops', BTF_KIND.STRUCT), 'data')?.type).toBe(ops);
    const enqueue = btf.member(ops, 'enqueue');
    expect(formatDeclaration(btf, enqueue?.type ?? 0, 'enqueue')).toBe('void (*enqueue)(struct task_struct *, u64)');
    // pahole gives every function of the kernel static linkage.
    expect(formatType(btf, btf.find('bpf_cpumask_create', BTF_KIND.FUNC))).toBe(
      'static struct bpf_cpumask *bpf_cpumask_create(void);',
    );
    expect(btf.enumerator('SCX_DSQ_GLOBAL')).toBe((1n << 63n) | 1n);
    expect(btf.path(btf.find('task_struct', BTF_KIND.STRUCT), 'scx.dsq_vtime')?.bitSize).toBe(0);
  });
});
