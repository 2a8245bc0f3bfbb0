import { describe, expect, it } from 'vitest';
import { findSectionDef } from '../../src/object/sections.js';
import { BPF_ATTACH_TYPE as AT, BPF_PROG_TYPE as PT } from '../../src/uapi.js';

describe('findSectionDef', () => {
  it('takes a `type+` alone and with extras, but not as a mere prefix', () => {
    for (const name of ['struct_ops', 'struct_ops/enqueue', 'struct_ops/']) {
      expect(findSectionDef(name)).toMatchObject({ progType: PT.STRUCT_OPS, sleepable: false });
    }
    expect(findSectionDef('struct_ops.s/init')).toMatchObject({ progType: PT.STRUCT_OPS, sleepable: true });
    expect(findSectionDef('struct_opsx')).toBeUndefined();
    expect(findSectionDef('kprobefoo')).toBeUndefined();
  });

  it('takes other names exactly', () => {
    expect(findSectionDef('xdp')).toMatchObject({ progType: PT.XDP, attachType: AT.XDP });
    expect(findSectionDef('xdp/eth0')).toBeUndefined();
    expect(findSectionDef('cgroup/connect4')?.attachType).toBe(AT.CGROUP_INET4_CONNECT);
    expect(findSectionDef('cgroup/connect4x')).toBeUndefined();
    expect(findSectionDef('')).toBeUndefined();
  });

  it('knows which programs attach to a BTF type', () => {
    expect(findSectionDef('lsm/bpf')?.attachBtf).toBe(true);
    expect(findSectionDef('tp_btf/sched_switch')).toMatchObject({ attachType: AT.TRACE_RAW_TP, attachBtf: true });
    expect(findSectionDef('raw_tp/sched_switch')?.attachBtf).toBe(false);
  });
});
