// `--peers`: who else runs the kernels. A peer is a name and `run`, which times each kernel, or why it is left out.
import { dpdk } from './peers/dpdk.mjs';
import { kernelJit } from './peers/kernel.mjs';
import { wasm32 } from './peers/wasm32.mjs';

/** What of a peer cannot be set up is skipped and says why. */
function attempt(name, make) {
  try {
    return make();
  } catch (error) {
    return { name, skip: error.message.split('\n')[0] };
  }
}

export class Peers {
  constructor() {
    this.all = [attempt('wasm32', wasm32), attempt('kernel JIT', kernelJit), ...[attempt('DPDK', dpdk)].flat()].map(
      (peer) => ({ ...peer, best: new Map(), refused: new Map() }),
    );
  }

  /** Every peer once; `expected` gives a kernel's result. Throws if a peer computes another one. */
  run(expected) {
    for (const peer of this.all) {
      if (peer.skip !== undefined) continue;
      for (const { kernel, ns, result, refused } of peer.run()) {
        if (refused !== undefined) peer.refused.set(kernel, refused);
        else if (result !== expected(kernel))
          throw new Error(`${peer.name}: ${kernel}: ${result}, not ${expected(kernel)}`);
        else peer.best.set(kernel, Math.min(peer.best.get(kernel) ?? Infinity, ns));
      }
    }
  }

  /** For the report: ns of each kernel, refusals, reasons. */
  report() {
    return this.all.map(({ name, skip, best, refused }) => ({
      name,
      ...(skip !== undefined && { skip }),
      ns: Object.fromEntries(best),
      refused: Object.fromEntries(refused),
    }));
  }
}

export function formatPeers(peers, nativeNs, geomean) {
  const lines = ['peers, × native:'];
  for (const { name, skip, ns, refused } of peers) {
    if (skip !== undefined) {
      lines.push(`  ${name}: left out: ${skip}`);
      continue;
    }
    const ratios = Object.entries(ns).map(([kernel, value]) => [kernel, value / nativeNs.get(kernel)]);
    const each = ratios.map(([kernel, ratio]) => `${kernel} ${ratio.toFixed(2)}`).join(', ') || 'none';
    const all =
      ratios.length > 1 ? `${geomean(ratios.map(([, ratio]) => ratio)).toFixed(2)} (${ratios.length} kernels): ` : '';
    lines.push(`  ${name}: ${all}${each}`);
    const reasons = new Map();
    for (const [kernel, why] of Object.entries(refused)) reasons.set(why, [...(reasons.get(why) ?? []), kernel]);
    for (const [why, kernels] of reasons) lines.push(`    refuses ${kernels.join(', ')}: ${why}`);
  }
  return lines;
}
