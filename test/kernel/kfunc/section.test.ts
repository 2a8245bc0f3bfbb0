import { beforeEach, describe, expect, test } from 'vitest';
import { Kernel } from '../../../src/kernel/kernel.js';
import { runText } from '../run_text.js';

let k: Kernel;
beforeEach(async () => {
  k = await Kernel.create({ cpus: 2 });
});

const run = (text: string) => runText(k, text);

describe('bpf_rcu_read_lock', () => {
  const lock = 'call bpf_rcu_read_lock\n';
  const unlock = 'call bpf_rcu_read_unlock\n';
  let seen: boolean[];
  let ended: number;
  beforeEach(() => {
    seen = [];
    ended = 0;
    k.registerHelper('skb_load_bytes', (call) => {
      seen.push(k.rcu.held('rcu'));
      k.rcu.call(() => ended++);
      call.ret(ended);
    });
  });
  const watch = 'r1 = 0\ncall skb_load_bytes\n';

  test('nests and must be undone as often', () => {
    expect(run(`${lock.repeat(20)}${unlock.repeat(20)}r0 = 3\nexit`)).toBe(3);
    expect(() => run(`r0 = 0\n${lock.repeat(2)}${unlock}r0 = 0\nexit`)).toThrow(
      'insn 1: the section of bpf_rcu_read_lock is still held when the program ends',
    );
    expect(() => run(`${lock}${unlock}${unlock}r0 = 0\nexit`)).toThrow(
      'insn 2: host: bpf_rcu_read_unlock: bpf_rcu_read_unlock without a bpf_rcu_read_lock before it',
    );
    expect(k.held.count).toBe(0);
    expect(k.rcu.held('rcu')).toBe(false);
  });

  test('is seen by the host, which waits for its end', () => {
    expect(run(`${lock}${lock}${watch}r6 = r0\n${unlock}${watch}r6 += r0\n${unlock}r0 = r6\nexit`)).toBe(0);
    expect(seen).toEqual([true, true]);
    expect(ended).toBe(2);
  });
});

describe('bpf_preempt_disable', () => {
  test('nests and must be undone as often', () => {
    const enable = 'call bpf_preempt_enable\n';
    const disable = 'call bpf_preempt_disable\n';
    expect(run(`${disable}${disable}${enable}${enable}r0 = 3\nexit`)).toBe(3);
    expect(() => run(`${disable}${disable}${enable}r0 = 0\nexit`)).toThrow(
      'insn 0: the section of bpf_preempt_disable is still held when the program ends',
    );
    expect(() => run(`${disable}${enable}${enable}r0 = 0\nexit`)).toThrow(
      'insn 2: host: bpf_preempt_enable: bpf_preempt_enable without a bpf_preempt_disable before it',
    );
  });
});

describe('bpf_local_irq_save', () => {
  const flags = (slot: number) => `r1 = r10\nr1 += ${slot}\n`;
  const save = (slot: number) => `${flags(slot)}call bpf_local_irq_save\n`;
  const restore = (slot: number) => `${flags(slot)}call bpf_local_irq_restore\n`;

  test('remembers whether interrupts were on', () => {
    const read = (slot: number) => `${save(-8)}${save(-16)}r6 = *(u64 *)(r10 + ${slot})\n${restore(-16)}${restore(-8)}`;
    expect(run(`${read(-8)}r0 = r6\nexit`)).toBe(0x200);
    expect(run(`${read(-16)}r0 = r6\nexit`)).toBe(0);
  });

  test('must be restored, the latest first, from the flags that it saved', () => {
    expect(() => run(`${save(-8)}r0 = 0\nexit`)).toThrow('the section of bpf_local_irq_save is still held');
    expect(() => run(`${save(-8)}${save(-16)}${restore(-8)}exit`)).toThrow('bpf_local_irq_restore out of order');
    expect(() => run(`${save(-8)}${restore(-16)}exit`)).toThrow('bpf_local_irq_restore out of order');
    expect(() => run(`${restore(-8)}exit`)).toThrow('without a bpf_local_irq_save before it');
    expect(() => run(`${save(-8)}${save(-8)}exit`)).toThrow('its flags are in use already');
  });
});
