import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { kernelHeader } from '../../scripts/vmlinux_h.mjs';
import { Btf } from '../../src/btf/index.js';
import { gunzip, readAsset } from '../../src/platform/node.js';

const btf = Btf.parse(await gunzip(await readAsset('profiles/7.3.btf.gz')));

function header(...list: string[]): string {
  return kernelHeader(btf, list.join('\n'), 'a test');
}

describe('the generated kernel header', () => {
  it('is the committed one', async () => {
    const list = await readFile(new URL('../../samples/include/vmlinux.list', import.meta.url), 'utf8');
    const committed = await readFile(new URL('../../samples/include/vmlinux.h', import.meta.url), 'utf8');
    expect(kernelHeader(btf, list, 'profiles/7.3.btf.gz')).toBe(committed);
  });

  it('leaves out members that were not asked for', () => {
    expect(header('struct task_struct pid comm')).toContain('struct task_struct {\n\tpid_t pid;\n\tchar comm[16];\n};');
  });

  it('reaches members of anonymous structs through structs of its own', () => {
    expect(header('struct sk_buff len next')).toMatch(
      /struct sk_buff \{\n\tunion \{\n\t\tstruct \{\n\t\t\tstruct sk_buff \*next;/,
    );
  });

  it('defines what is held by value first and only names what is pointed to', () => {
    const text = header('struct task_struct scx mm', 'struct sched_ext_entity slice');
    expect(text.indexOf('struct sched_ext_entity {')).toBeLessThan(text.indexOf('struct task_struct {'));
    expect(text).toContain('\nstruct mm_struct;\n');
    expect(text).not.toContain('struct mm_struct {');
  });

  it('writes pointers to functions, to const and to arrays as C does', () => {
    expect(header('struct sched_ext_ops set_cpumask')).toContain(
      'void (*set_cpumask)(struct task_struct *, const struct cpumask *);',
    );
    expect(header('func scx_bpf_exit_bstr')).toContain(
      'extern void scx_bpf_exit_bstr(s64 exit_code, char *fmt, long long unsigned int *data, u32 data__sz) __ksym;',
    );
    expect(header('func scx_bpf_sub_caps')).toContain('struct scx_cmask __arena *out__arena');
  });

  it('keeps chosen enumerators, the wide ones with their whole value', () => {
    expect(header('enum scx_dsq_id_flags SCX_DSQ_LOCAL')).toContain(
      'enum scx_dsq_id_flags {\n\tSCX_DSQ_LOCAL = 0x8000000000000002ULL,\n};',
    );
  });

  it.each([
    ['struct no_such_struct', 'line 1: the kernel has no struct no_such_struct'],
    ['\nstruct task_struct pdi', 'line 2: struct task_struct has no member pdi'],
    ['strukt task_struct', 'line 1: "strukt" begins no declaration'],
  ])('says what is wrong with "%s"', (line, message) => {
    expect(() => header(line)).toThrow(message);
  });
});
