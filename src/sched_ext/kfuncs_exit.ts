import { ERRNO } from '../errno.js';
import { bprintf, varargs } from '../kernel/helper/bprintf.js';
import type { HostCall } from '../vm/types.js';
import type { KfEnv, KfuncTable } from './kf_env.js';
import type { ScxSched } from './sched.js';

/** Longest format and text (SCX_EXIT_MSG_LEN). */
const MESSAGE_LEN = 1024;

/** How a program ends its scheduler, what it adds to the debug dump, and the event counters. */
export function exitKfuncs(env: KfEnv): KfuncTable {
  const { scx } = env;
  const { consts, dump, kernel } = scx;

  /**
   * Format, data and data__sz from argument `first` on (bstr_format): the text, or -errno where the kernel refuses one of
   * them, which is an error of the scheduler.
   */
  function format(sched: ScxSched, call: HostCall, first: number): string | number {
    const bytes = call.u32(first + 2);
    const args = varargs(call, first + 1, bytes);
    if (!args) {
      sched.error(`invalid data=${call.u64(first + 1).toString(16)} and data__sz=${bytes}`);
      return -ERRNO.EINVAL;
    }
    const text = bprintf(call.memory, call.cstring(first, MESSAGE_LEN), args, consts.subScheds);
    if (typeof text === 'number') sched.error(`format preparation failed (${text})`);
    return text;
  }

  /** Whoever claims first counts: [N] claims, then formats; before, a text that cannot be formatted claims nothing itself. */
  function claim(sched: ScxSched, call: HostCall, kind: number, code: bigint, first: number): void {
    if (!consts.subScheds) {
      const text = format(sched, call, first);
      if (typeof text === 'string') sched.claimExit(kind, code, text);
      return;
    }
    if (!sched.claimExit(kind, code, '', kernel.currentCpu)) return;
    const text = format(sched, call, first);
    sched.exit!.message =
      typeof text === 'string' ? text.slice(0, MESSAGE_LEN - 1) : `exit message formatting failed (${text})`;
  }

  return {
    scx_bpf_exit_bstr: env.of(0, (sched, call) => {
      claim(sched, call, consts.exit.unregBpf, BigInt.asIntN(64, call.u64(0)), 1);
    }),
    scx_bpf_error_bstr: env.of(0, (sched, call) => claim(sched, call, consts.exit.errorBpf, 0n, 0)),
    scx_bpf_dump_bstr: env.of(0, (sched, call) => {
      if (!dump.dumping) {
        sched.error('scx_bpf_dump() must only be called from ops.dump() and friends');
        return;
      }
      const text = format(sched, call, 0);
      if (typeof text === 'string') dump.write(text);
      else {
        const quoted = `[!] ("${call.cstring(0, MESSAGE_LEN)}", ${call.u64(1).toString(16)}, ${call.u32(2)})`;
        dump.complain(`${quoted} failed to format (${text})`);
      }
    }),
    scx_bpf_events: (call) => {
      const events = env.schedOf(call)?.events;
      const bytes = Math.min(call.u32(1), consts.eventNames.length * 8);
      const out = call.mem(0, bytes, true);
      call.memory.bytes(out, bytes).fill(0);
      const entries = events?.entries() ?? [];
      entries.forEach(([, count], i) => {
        if (8 * i + 8 <= bytes) call.memory.setU64(out + 8 * i, BigInt(count));
      });
    },
  };
}
