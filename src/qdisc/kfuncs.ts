import { VmtableError } from '../errors.js';
import type { HostFn } from '../vm/types.js';
import type { QdiscHost } from './host.js';

/**
 * Registers the kfuncs of net/sched/bpf_qdisc.c. bpf_dynptr_from_skb is the kernel's own, for packets of test runs: it stops a
 * discipline's program by name.
 */
export function registerQdiscKfuncs(host: QdiscHost): void {
  const table: Record<string, HostFn> = {
    bpf_skb_get_hash: (call) => call.ret(host.skbOf(call, 0).hash),
    bpf_kfree_skb: (call) => host.releasedSkb(call, 0).drop('freed'),
    bpf_qdisc_skb_drop: (call) => {
      const skb = host.releasedSkb(call, 0);
      const list = call.ptr(1);
      const { toFree } = host;
      if (!toFree || toFree.ptr !== list) {
        skb.drop('freed');
        return call.fail(new VmtableError(`argument 2: no list of packets to free but ${call.memory.describe(list)}`));
      }
      toFree.push(skb);
    },
    bpf_qdisc_watchdog_schedule: (call) => host.qdiscOf(call, 0).scheduleWatchdog(call.u64n(1), call.u64n(2)),
    bpf_qdisc_bstats_update: (call) => host.qdiscOf(call, 0).countSent(host.skbOf(call, 1).bytes),
  };
  for (const [name, fn] of Object.entries(table)) host.kernel.registerKfunc(name, fn);
}
