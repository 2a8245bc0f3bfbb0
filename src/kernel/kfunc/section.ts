import { DIRECT_RCU_LOCK, DIRECT_RCU_UNLOCK } from '../../../assembly/abi.js';
import { VmtableError } from '../../errors.js';
import type { EarlySections } from '../held.js';
import type { Kernel } from '../kernel.js';

/** RFLAGS.IF: interrupts are on (arch/x86: X86_EFLAGS_IF). */
const FLAGS_IF = 0x200n;
const FLAGS_BYTES = 8;

const RCU_SECTION = 'the section of bpf_rcu_read_lock';

/** What programs entered by bpf_rcu_read_lock in the core, for the table of what they hold. */
export function earlySections(kernel: Kernel): EarlySections {
  const { direct } = kernel.vm;
  const undo = () => kernel.rcu.readUnlock();
  return {
    get count() {
      return direct.sections;
    },
    take: () =>
      kernel.vm.takeSections().map(({ prog, insn }) => {
        kernel.rcu.readLock();
        return { kind: 'rcu', key: 0, what: RCU_SECTION, prog, insn, undo };
      }),
  };
}

/** Stretches of a program that it must end itself: RCU read sections, preemption and interrupts off. */
export function registerSectionKfuncs(kernel: Kernel): void {
  const { held } = kernel;
  const unlock = () => kernel.rcu.readUnlock();
  kernel.registerKfunc(
    'bpf_rcu_read_lock',
    (call) => {
      held.acquire(call, 'rcu', 0, RCU_SECTION, unlock);
      kernel.rcu.readLock();
    },
    { direct: DIRECT_RCU_LOCK },
  );
  kernel.registerKfunc(
    'bpf_rcu_read_unlock',
    (call) => {
      if (!held.release('rcu', 0)) {
        call.fail(new VmtableError('bpf_rcu_read_unlock without a bpf_rcu_read_lock before it'));
      }
      kernel.rcu.readUnlock();
    },
    { direct: DIRECT_RCU_UNLOCK },
  );

  // One thread runs all CPUs: nothing preempts or interrupts a program. The sections count, and nest as a verifier wants.
  const count = (cpu: number, by: number) => {
    const preemptCount = kernel.model.percpu.of('__preempt_count');
    preemptCount.set(cpu, preemptCount.get(cpu) + by);
  };
  kernel.registerKfunc('bpf_preempt_disable', (call) => {
    const { cpu } = call;
    count(cpu, 1);
    held.acquire(call, 'preempt', 0, 'the section of bpf_preempt_disable', () => count(cpu, -1));
  });
  kernel.registerKfunc('bpf_preempt_enable', (call) => {
    if (!held.release('preempt', 0)) {
      call.fail(new VmtableError('bpf_preempt_enable without a bpf_preempt_disable before it'));
    }
    count(call.cpu, -1);
  });

  // The flags word on the program's stack stands for the section (kernel: process_irq_flag, verifier.c).
  kernel.registerKfunc('bpf_local_irq_save', (call) => {
    const flags = call.mem(0, FLAGS_BYTES, true);
    if (held.has('irq', flags)) call.fail(new VmtableError('bpf_local_irq_save: its flags are in use already'));
    call.memory.setU64(flags, held.has('irq') ? 0n : FLAGS_IF);
    held.acquire(call, 'irq', flags, 'the section of bpf_local_irq_save', () => {});
  });
  kernel.registerKfunc('bpf_local_irq_restore', (call) => {
    const flags = call.mem(0, FLAGS_BYTES, false);
    const last = held.last('irq');
    if (!last) return call.fail(new VmtableError('bpf_local_irq_restore without a bpf_local_irq_save before it'));
    if (last.key !== flags) {
      call.fail(new VmtableError('bpf_local_irq_restore out of order: a later bpf_local_irq_save is still open'));
    }
    held.release('irq', flags);
  });
}
