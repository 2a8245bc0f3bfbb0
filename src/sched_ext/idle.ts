import type { Cpumasks } from '../kernel/model/cpumask.js';
import type { GuestPtr } from '../vm/types.js';
import { HostMask } from './host_mask.js';
import { OP } from './op_names.js';
import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import type { ScxTask } from './task.js';

/** Idle CPUs, and those whose whole core is idle. */
interface IdleMasks {
  readonly cpu: HostMask;
  readonly smt: HostMask;
  /** CPUs in each: a search through none is over. */
  nrCpu: number;
  nrSmt: number;
}

export const NUMA_NO_NODE = -1;

/** Built-in tracking of idle CPUs, and the default choice of one (kernel: ext_idle.c, on 6.12 part of ext.c). */
export class Idle {
  /** The kernel keeps the masks (scx_builtin_idle_enabled). */
  enabled = false;
  /** …one for each node (scx_builtin_idle_per_node). */
  perNode = false;
  readonly #masks: Cpumasks;
  readonly #global: IdleMasks;
  readonly #nodes: readonly IdleMasks[];
  /** CPUs of the LLC and of the node of each CPU that are online. */
  readonly #llc: readonly HostMask[];
  readonly #node: readonly HostMask[];
  /** All bits: what a task that may run everywhere is allowed. */
  readonly #all: HostMask;
  readonly #scratch: { allowed: GuestPtr; llc: HostMask; numa: HostMask };
  /** Where each CPU's last search ended (distribute_cpu_mask_prev, lib/cpumask.c): searches go round. */
  readonly lastPick: number[];
  #useLlc = false;
  #useNuma = false;
  #smt = false;

  constructor(private readonly scx: SchedExt) {
    const { cpumasks } = scx.kernel;
    const { topology } = scx.core;
    this.#masks = cpumasks;
    const mask = (name: string) => new HostMask(cpumasks, name);
    const pair = (name: string) => ({
      cpu: mask(`${name}.cpu`),
      smt: mask(`${name}.smt`),
      nrCpu: 0,
      nrSmt: 0,
    });
    this.#global = pair('idle_masks');
    this.#nodes = Array.from({ length: topology.nrNodes }, (_, node) => pair(`idle_masks of node ${node}`));
    this.#llc = topology.places.map((_, cpu) => mask(`CPUs of the cache of CPU ${cpu}`));
    this.#node = topology.places.map((_, cpu) => mask(`CPUs of the node of CPU ${cpu}`));
    this.#all = new HostMask(cpumasks, null);
    this.#all.assign(Array.from({ length: cpumasks.bits }, (_, bit) => bit));
    this.#scratch = {
      allowed: cpumasks.alloc('local_idle_cpumask'),
      llc: mask('local_llc_idle_cpumask'),
      numa: mask('local_numa_idle_cpumask'),
    };
    this.lastPick = new Array<number>(topology.cpus).fill(0);
  }

  masks(node: number): IdleMasks {
    return node === NUMA_NO_NODE ? this.#global : this.#nodes[node]!;
  }

  /** A struct cpumask of whole idle cores: the CPU mask where cores have one thread. */
  cores(node: number): GuestPtr {
    return (this.#smt ? this.masks(node).smt : this.masks(node).cpu).ptr;
  }

  /** The node whose masks hold a CPU (scx_cpu_node_if_enabled). */
  nodeOf(cpu: number): number {
    return this.perNode ? this.scx.core.topology.node(cpu) : NUMA_NO_NODE;
  }

  // ---- Enabling

  /** scx_idle_enable */
  enable(sched: ScxSched): void {
    const { consts } = this.scx;
    this.enabled = !sched.ops.update_idle || sched.wants(consts.ops.keepBuiltinIdle);
    this.perNode = consts.ops.builtinIdlePerNode !== 0 && sched.wants(consts.ops.builtinIdlePerNode);
    this.updateTopology(sched);
    for (const masks of [this.#global, ...this.#nodes]) {
      masks.cpu.clearAll();
      masks.smt.clearAll();
      masks.nrCpu = 0;
      masks.nrSmt = 0;
    }
    if (consts.idleStartsBusy) return;
    for (const { cpu } of this.scx.rqs) {
      if (!this.scx.core.online(cpu)) continue;
      const masks = this.masks(this.nodeOf(cpu));
      masks.cpu.set(cpu);
      masks.smt.set(cpu);
      masks.nrCpu++;
      masks.nrSmt++;
    }
  }

  disable(): void {
    this.enabled = false;
    this.perNode = false;
  }

  /** Which CPUs share what, after a hotplug event, too (scx_idle_update_selcpu_topology). */
  updateTopology(sched: ScxSched): void {
    const { topology } = this.scx.core;
    const online = (cpu: number) => this.scx.core.online(cpu);
    const cpus = [...topology.places.keys()];
    const weights = cpus.map((cpu) => {
      const llc = topology.llcCpus[cpu]!.filter(online);
      const node = topology.nodeCpus[cpu]!.filter(online);
      this.#llc[cpu]!.assign(llc);
      this.#node[cpu]!.assign(node);
      // Domains of one CPU, and of a single node, do not come to be.
      return { llc: llc.length > 1 ? llc.length : 0, numa: topology.nrNodes > 1 ? node.length : 0 };
    });
    this.#smt = cpus.some((cpu) => online(cpu) && topology.siblings[cpu]!.filter(online).length > 1);
    const first = weights[cpus.find(online) ?? 0]!;
    const count = cpus.filter(online).length;
    this.#useLlc = first.llc > 0 && first.llc < count;
    const mismatch = cpus.some((cpu) => online(cpu) && weights[cpu]!.llc !== weights[cpu]!.numa);
    const { builtinIdlePerNode } = this.scx.consts.ops;
    const perNode = builtinIdlePerNode !== 0 && sched.wants(builtinIdlePerNode);
    this.#useNuma = !perNode && first.numa > 0 && first.numa < count && mismatch;
  }

  // ---- What the idle class tells

  /**
   * scx_update_idle: the CPU begins (put_prev_task of another class, set_next_task_idle) or ceases (put_prev_task_idle) to
   * idle; without `transition` it merely chose to idle on (pick_task_idle).
   */
  update(rq: ScxRq, idle: boolean, transition: boolean): void {
    const { consts, root } = this.scx;
    if (!this.scx.enabled || !root) return;
    const reachesMasks = consts.idleStartsBusy || transition || rq.curr === rq.idle;
    if (consts.idleMasksFirst && this.enabled && reachesMasks) this.#track(rq.cpu, idle);
    const { rootIdleRenotify } = consts.rq;
    const owed = idle && rq.hasFlags(rootIdleRenotify);
    if (transition || owed) {
      rq.flags &= ~rootIdleRenotify;
      if (!rq.bypassing) this.scx.calls.call(root, OP.update_idle, rq, null, null, this.scx.cpuArg(rq.cpu), idle);
    }
    if (!consts.idleMasksFirst && this.enabled && reachesMasks) this.#track(rq.cpu, idle);
  }

  /** update_builtin_idle */
  #track(cpu: number, idle: boolean): void {
    const masks = this.masks(this.nodeOf(cpu));
    if (masks.cpu.test(cpu) !== idle) {
      masks.nrCpu += idle ? 1 : -1;
      if (idle) masks.cpu.set(cpu);
      else masks.cpu.clear(cpu);
    }
    if (!this.#smt) return;
    const siblings = this.scx.core.topology.siblings[cpu]!;
    if (idle && !this.#allIdle(siblings, masks)) return;
    for (const sibling of siblings) if (this.scx.core.online(sibling)) this.#setSmt(masks, sibling, idle);
  }

  /** Of cpu_smt_mask(): an offline CPU is not even its own sibling. */
  #allIdle(siblings: readonly number[], masks: IdleMasks): boolean {
    for (const sibling of siblings) if (this.scx.core.online(sibling) && !masks.cpu.test(sibling)) return false;
    return true;
  }

  #setSmt(masks: IdleMasks, cpu: number, idle: boolean): void {
    if (masks.smt.test(cpu) === idle) return;
    masks.nrSmt += idle ? 1 : -1;
    if (idle) masks.smt.set(cpu);
    else masks.smt.clear(cpu);
  }

  isIdle(cpu: number): boolean {
    return this.masks(this.nodeOf(cpu)).cpu.test(cpu);
  }

  // ---- Claiming

  /** Claims a CPU: of those who ask, one gets it. Its core is not wholly idle any more, whoever gets it. */
  testAndClear(cpu: number): boolean {
    const masks = this.masks(this.nodeOf(cpu));
    if (this.#smt) {
      for (const sibling of this.scx.core.topology.siblings[cpu]!) {
        if (this.scx.core.online(sibling)) this.#setSmt(masks, sibling, false);
      }
      this.#setSmt(masks, cpu, false);
    }
    const was = masks.cpu.test(cpu);
    if (was) {
      masks.cpu.clear(cpu);
      masks.nrCpu--;
    }
    return was;
  }

  /**
   * pick_idle_cpu_in_node: claims an idle CPU of `within`, or of the mask at `allowed` where that is null; of a whole idle core if
   * there is one. -1 if there is none.
   */
  #pickInNode(within: HostMask | null, allowed: GuestPtr, node: number, coreOnly: boolean): number {
    const masks = this.masks(node);
    for (;;) {
      let cpu = this.#smt && masks.nrSmt > 0 ? this.#anyAnd(masks.smt, within, allowed) : -1;
      if (cpu < 0) {
        if (masks.nrCpu === 0 || (this.#smt && coreOnly)) return -1;
        cpu = this.#anyAnd(masks.cpu, within, allowed);
        if (cpu < 0) return -1;
      }
      if (this.testAndClear(cpu)) return cpu;
    }
  }

  /** scx_pick_idle_cpu of the CPUs of a struct cpumask. -1 for none. */
  pick(allowed: GuestPtr, node: number, flags: number): number {
    return this.#pick(null, allowed, node, flags);
  }

  /** From the node on to the others, nearest first; all of them are equally far here. */
  #pick(within: HostMask | null, allowed: GuestPtr, node: number, flags: number): number {
    const { core, inNode } = this.scx.consts.pickIdle;
    const coreOnly = (flags & core) !== 0;
    const cpu = this.#pickInNode(within, allowed, node, coreOnly);
    if (cpu >= 0 || node === NUMA_NO_NODE || (flags & inNode) !== 0) return cpu;
    for (let other = 0; other < this.#nodes.length; other++) {
      if (other === node) continue;
      const found = this.#pickInNode(within, allowed, other, coreOnly);
      if (found >= 0) return found;
    }
    return -1;
  }

  /** One CPU of both masks, each calling CPU going round (cpumask_any_and_distribute); -1 if there is none. */
  #anyAnd(idle: HostMask, within: HostMask | null, allowed: GuestPtr): number {
    const here = this.scx.kernel.currentCpu;
    const start = this.lastPick[here]! + 1;
    let cpu = -1;
    if (start < this.scx.cpus) cpu = within ? idle.nextAnd(within, start) : idle.nextAndAt(allowed, start);
    if (cpu < 0) cpu = within ? idle.nextAnd(within, 0) : idle.nextAndAt(allowed, 0);
    if (cpu >= 0) this.lastPick[here] = cpu;
    return cpu;
  }

  /** The same of CPUs that the core names. */
  goRound(wanted: (cpu: number) => boolean): number {
    const here = this.scx.kernel.currentCpu;
    const { cpus } = this.scx;
    for (let i = 1; i <= cpus; i++) {
      const cpu = (this.lastPick[here]! + i + cpus) % cpus;
      if (!wanted(cpu)) continue;
      this.lastPick[here] = cpu;
      return cpu;
    }
    return -1;
  }

  /** cpumask_any_distribute; with a node, only of that. */
  anyOf(allowed: GuestPtr, node = NUMA_NO_NODE): number {
    const within = node === NUMA_NO_NODE ? this.#all : this.#node[this.#firstOf(node)]!;
    return this.#anyAnd(within, null, allowed);
  }

  #firstOf(node: number): number {
    return this.scx.core.topology.places.findIndex((place) => place.node === node);
  }

  // ---- The default choice

  /** select_cpu_restricted: of a task that can use one CPU only, that one if it idles; -1 if not. */
  selectOnly(task: ScxTask, prevCpu: number, cpusAllowed: GuestPtr, flags: number): number {
    const cpu = task.migrationDisabled ? task.cpu : this.#masks.next(task.cpusPtr);
    if (cpu < 0 || !task.allows(cpu)) return -1;
    if (cpusAllowed !== 0 && !this.#masks.test(cpusAllowed, cpu)) return -1;
    if ((flags & this.scx.consts.pickIdle.inNode) !== 0 && this.nodeOf(cpu) !== this.nodeOf(prevCpu)) return -1;
    return this.testAndClear(cpu) ? cpu : -1;
  }

  /**
   * scx_select_cpu_dfl: claims the idle CPU that suits the task best, -1 if there is none. `cpusAllowed` (0 for none) narrows
   * the task's own CPUs; `flags` are SCX_PICK_IDLE_*.
   */
  selectDefault(task: ScxTask, prevCpu: number, wakeFlags: number, cpusAllowed: GuestPtr, flags: number): number {
    return this.scx.consts.topologyAware
      ? this.#selectNear(task, prevCpu, wakeFlags, cpusAllowed, flags)
      : this.#selectPlain(task, prevCpu, wakeFlags);
  }

  /** 6.12: one mask for the whole machine. */
  #selectPlain(task: ScxTask, prevCpu: number, wakeFlags: number): number {
    const { consts, kernel } = this.scx;
    const allowed = task.cpusPtr;
    const within = task.allowedCount >= this.scx.cpus ? this.#all : null;
    if ((wakeFlags & consts.wake.sync) !== 0 && this.#wakerHasRoom(NUMA_NO_NODE) && task.allows(kernel.currentCpu)) {
      return kernel.currentCpu;
    }
    if (this.#smt) {
      if (this.#global.smt.test(prevCpu) && this.testAndClear(prevCpu)) return prevCpu;
      const core = this.#pick(within, allowed, NUMA_NO_NODE, consts.pickIdle.core);
      if (core >= 0) return core;
    }
    return this.testAndClear(prevCpu) ? prevCpu : this.#pick(within, allowed, NUMA_NO_NODE, 0);
  }

  /** The waking CPU has nothing waiting, though some CPU idles; and its task stays to be woken by. */
  #wakerHasRoom(node: number): boolean {
    const { kernel } = this.scx;
    const rq = this.scx.rq(kernel.currentCpu);
    return !kernel.current.exiting && rq.local.nr === 0 && this.masks(node).nrCpu > 0;
  }

  #selectNear(task: ScxTask, prevCpu: number, wakeFlags: number, cpusAllowed: GuestPtr, flags: number): number {
    const { consts, kernel, core } = this.scx;
    const { topology } = core;
    const own = task.cpusPtr;
    const everywhere = task.allowedCount >= this.scx.cpus;
    const node = this.nodeOf(prevCpu);
    let allowed = own;
    if (cpusAllowed !== 0 && cpusAllowed !== own) {
      if (everywhere) allowed = cpusAllowed;
      else if (this.#masks.and(this.#scratch.allowed, cpusAllowed, own)) allowed = this.#scratch.allowed;
      else return -1;
    }
    const within = allowed === own && everywhere ? this.#all : null;
    const prevAllowed = within !== null || this.#masks.test(allowed, prevCpu);
    const numa = this.#useNuma ? this.#within(within, allowed, this.#node[prevCpu]!, this.#scratch.numa) : null;
    const llc = this.#useLlc ? this.#within(within, allowed, this.#llc[prevCpu]!, this.#scratch.llc) : null;

    if ((wakeFlags & consts.wake.sync) !== 0) {
      const waker = kernel.currentCpu;
      if (prevAllowed && topology.shareCache(waker, prevCpu) && this.testAndClear(prevCpu)) return prevCpu;
      const wakerNode = consts.wakerMaskOfNode ? topology.node(waker) : this.nodeOf(waker);
      const near = (flags & consts.pickIdle.inNode) === 0 || wakerNode === node;
      if (near && this.#wakerHasRoom(wakerNode) && (within !== null || this.#masks.test(allowed, waker))) {
        if (!consts.wakerMaskOfNode) this.testAndClear(waker);
        return waker;
      }
    }
    if (this.#smt) {
      if (prevAllowed && this.masks(node).smt.test(prevCpu) && this.testAndClear(prevCpu)) return prevCpu;
      const near = this.#pickNear(llc, numa, node, true);
      if (near >= 0) return near;
      const cpu = this.#pick(within, allowed, node, flags | consts.pickIdle.core);
      if (cpu >= 0 || (flags & consts.pickIdle.core) !== 0) return cpu;
    }
    if (prevAllowed && this.testAndClear(prevCpu)) return prevCpu;
    if (this.#smt && consts.idleSiblingFirst) {
      for (const cpu of topology.siblings[prevCpu]!) {
        if (cpu === prevCpu || !core.online(cpu)) continue;
        if (this.#masks.test(allowed, cpu) && this.testAndClear(cpu)) return cpu;
      }
    }
    const near = this.#pickNear(llc, numa, node, false);
    return near >= 0 ? near : this.#pick(within, allowed, node, flags);
  }

  /** Which of these CPUs are allowed, where not all are; null for none. */
  #within(all: HostMask | null, allowed: GuestPtr, cpus: HostMask, scratch: HostMask): HostMask | null {
    if (all) return cpus;
    return scratch.narrow(cpus, allowed) ? scratch : null;
  }

  /** Of the same cache, then of the same node. */
  #pickNear(llc: HostMask | null, numa: HostMask | null, node: number, coreOnly: boolean): number {
    const cpu = llc ? this.#pickInNode(llc, 0, node, coreOnly) : -1;
    if (cpu >= 0 || !numa) return cpu;
    return this.#pickInNode(numa, 0, node, coreOnly);
  }
}
