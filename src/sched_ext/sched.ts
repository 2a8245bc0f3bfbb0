import { VmtableError } from '../errors.js';
import type { Kdata, MapInfo, OpArg, StructOpsCallable } from '../kernel/types.js';
import type { ScxConsts } from './consts.js';
import { contextOf, type OpContext } from './context.js';
import { Dsq } from './dsq.js';
import { type ExitInfo, exitInfo } from './exit.js';
import { opOf, type ScxForm } from './forms.js';
import { IdleCpus } from './idle.js';
import type { ScxTask, Verdict } from './task.js';

/** What a scheduler needs of the machine below it. */
export interface RunQueues {
  /** Number of CPUs, ids 0 to cpus - 1. */
  readonly cpus: number;
  local(cpu: number): Dsq;
  /** The task that runs, null when idle. */
  current(cpu: number): ScxTask | null;
  /** Runnable tasks of the CPU that do not run, in the order in which they began to wait (rq->scx.runnable_list). */
  waiting(cpu: number): readonly ScxTask[];
  /** Has the CPU choose again as soon as the running operation is over. */
  resched(cpu: number): void;
  /** Sends a CPU the SCX_KICK_* flags of scx_bpf_kick_cpu. */
  kick(cpu: number, flags: number): void;
  /** Calls an op with `cpu` as the running CPU. */
  invoke(cpu: number, op: () => unknown): unknown;
}

/** A verdict of dispatch(), kept until the op returns or consumes (struct scx_dsp_buf_ent). */
interface BufferedInsert {
  task: ScxTask;
  verdict: Verdict;
}

/** A loaded scheduler (kernel: struct scx_sched; on 6.12 globals of ext.c): its ops, queues and reason to go. */
export class ScxSched {
  readonly name: string;
  readonly flags: bigint;
  readonly maxBatch: number;
  readonly globalDsq: Dsq;
  readonly userDsqs = new Map<bigint, Dsq>();
  readonly idle: IdleCpus;
  /** Set by the first claim; what comes later is ignored (scx_claim_exit). */
  exit: ExitInfo | null = null;
  /** A program that was stopped by a fault: no kernel gets that far, so it stands beside `exit`. */
  fault: unknown;
  /** ops.init has succeeded. */
  initialized = false;
  /** While the scheduler goes: nothing is scheduled any more, and kicks are ignored. */
  bypassing = false;
  /** The host's time of each call, ns, by op. */
  readonly hostNs: Record<string, number[]> = {};
  /** ops.exit has returned: programs of its own that still run belong to nobody. */
  dead = false;
  warnedUnassociated = false;
  /** By the cpu form's names. */
  readonly #ops: Record<string, StructOpsCallable | undefined> = {};
  readonly #contexts: OpContext[] = [];
  readonly #buffer: BufferedInsert[] = [];

  constructor(
    readonly kdata: Kdata,
    readonly consts: ScxConsts,
    readonly rqs: RunQueues,
    readonly form: ScxForm = 'cpu',
    /** Of a cid-form scheduler. */
    readonly arena: MapInfo | null = null,
  ) {
    for (const [member, op] of Object.entries(kdata.ops)) this.#ops[opOf(member)] = op;
    this.name = String(kdata.get('name'));
    this.flags = BigInt(kdata.get('flags'));
    this.maxBatch = Number(kdata.get('dispatch_max_batch')) || consts.maxBatch;
    this.globalDsq = new Dsq(consts.dsq.global);
    this.idle = new IdleCpus(rqs.cpus);
    this.idle.enabled = !this.has('update_idle') || (this.flags & consts.ops.keepBuiltinIdle) !== 0n;
  }

  has(op: string): boolean {
    return this.#ops[op] !== undefined;
  }

  get context(): OpContext | undefined {
    return this.#contexts[this.#contexts.length - 1];
  }

  /** Calls an op if the scheduler has it. A fault of the program ends the scheduler and counts as no result. */
  call(name: string, cpu: number, subjects: readonly ScxTask[], ...args: OpArg[]): unknown {
    const op = this.#ops[name];
    if (op === undefined || this.fault !== undefined) return undefined;
    this.#contexts.push(contextOf(name, cpu, subjects));
    const start = performance.now();
    try {
      return this.rqs.invoke(cpu, () => op(...args));
    } catch (error) {
      if (!(error instanceof VmtableError)) throw error;
      this.fault = error;
      this.claimExit(this.consts.exit.error, 0n, `ops.${name}(): ${error.message}`);
      return undefined;
    } finally {
      this.#times(name).push((performance.now() - start) * 1e6);
      this.#contexts.pop();
    }
  }

  #times(op: string): number[] {
    this.hostNs[op] ??= [];
    return this.hostNs[op];
  }

  claimExit(kind: number, code: bigint, message: string): void {
    this.exit ??= exitInfo(this.consts, kind, code, message);
  }

  /** A mistake of the scheduler, which ends it (scx_error). */
  error(message: string): void {
    this.claimExit(this.consts.exit.error, 0n, message);
  }

  /** False and an error for a CPU number that does not exist (ops_cpu_valid). */
  validCpu(cpu: number, where?: string): boolean {
    if (cpu >= 0 && cpu < this.rqs.cpus) return true;
    this.error(`invalid CPU ${cpu}${where ? ` ${where}` : ''}`);
    return false;
  }

  /** Queue of an insert (find_dsq_for_dispatch). What cannot be found becomes the global queue, so that no task is lost. */
  resolveDsq(id: bigint, task: ScxTask, rqCpu: number): Dsq {
    const { dsq } = this.consts;
    if (id === dsq.local) return this.rqs.local(rqCpu);
    if ((id & dsq.localOn) === dsq.localOn) {
      const cpu = Number(BigInt.asIntN(32, id & dsq.cpuMask));
      return this.validCpu(cpu, 'in SCX_DSQ_LOCAL_ON dispatch verdict') ? this.rqs.local(cpu) : this.globalDsq;
    }
    if (id === dsq.global) return this.globalDsq;
    const found = this.userDsqs.get(id);
    if (found) return found;
    this.error(`non-existent DSQ 0x${id.toString(16)}${this.consts.dsqErrorNamesTask ? ` for ${task.label}` : ''}`);
    return this.globalDsq;
  }

  /** Takes an insert of select_cpu, enqueue or dispatch (scx_dsq_insert_commit). True if it was accepted. */
  insert(task: ScxTask, verdict: Verdict): boolean {
    const { context } = this;
    if (!this.consts.lateSlice) this.#storeSlice(task, verdict);
    if (context?.directTask !== undefined) return this.#markDirect(context, task, verdict);
    if (this.#buffer.length >= this.maxBatch) {
      this.error('dispatch buffer overflow');
      return false;
    }
    this.#buffer.push({ task, verdict });
    return true;
  }

  /** Inserts that ops.dispatch may still make in this round. */
  get freeSlots(): number {
    return this.maxBatch - this.#buffer.length;
  }

  /** Takes the last buffered insert back. */
  cancelInsert(): void {
    if (this.#buffer.length > 0) this.#buffer.pop();
    else this.error('dispatch buffer underflow');
  }

  /** Inside select_cpu and enqueue only their own task may be inserted, and once (mark_direct_dispatch). */
  #markDirect(context: OpContext, task: ScxTask, verdict: Verdict): boolean {
    const expected = context.directTask;
    if (expected === 'inserted') {
      this.error(`${task.label} already direct-dispatched`);
      return false;
    }
    if (expected !== task) {
      this.error(`scheduling for ${expected?.label} but trying to direct-dispatch ${task.label}`);
      return false;
    }
    task.verdict = verdict;
    context.directTask = 'inserted';
    return true;
  }

  /** Hands a runnable task to the scheduler, or past it (do_enqueue_task). */
  enqueue(task: ScxTask, enqFlags: bigint): void {
    if (!task.verdict && this.has('enqueue')) {
      task.opsState = 'queueing';
      this.call('enqueue', task.cpu, [task], task, enqFlags);
      if (!task.verdict) {
        task.opsState = 'queued';
        if (this.consts.custody) task.setFlags(this.consts.task.inCustody);
        return;
      }
    }
    this.#directDispatch(task, task.verdict ? this.#takeVerdict(task, enqFlags) : this.#fallback(enqFlags));
  }

  #fallback(enqFlags: bigint): Verdict {
    return { dsqId: this.consts.dsq.global, enqFlags, slice: this.consts.sliceDefault, vtime: undefined };
  }

  #takeVerdict(task: ScxTask, enqFlags: bigint): Verdict {
    const verdict = task.verdict as Verdict;
    task.verdict = null;
    return { ...verdict, enqFlags: verdict.enqFlags | enqFlags };
  }

  #directDispatch(task: ScxTask, verdict: Verdict): void {
    if (!this.consts.lateSlice) this.#storeSlice(task, verdict);
    this.place(task, this.resolveDsq(verdict.dsqId, task, task.cpu), verdict);
  }

  /** Carries out what dispatch() inserted so far. True if a task was queued (flush_dispatch_buf). */
  flush(cpu: number): boolean {
    let dispatched = false;
    for (const { task, verdict } of this.#buffer.splice(0)) {
      // A task that the scheduler does not hold any more: the insert is void, and legal. (The kernel counts enqueues, too, to
      // tell a task that came back meanwhile; here nothing happens between insert and flush.)
      if (task.opsState !== 'queued') continue;
      task.opsState = 'dispatching';
      this.place(task, this.resolveDsq(verdict.dsqId, task, cpu), verdict);
      dispatched = true;
    }
    return dispatched;
  }

  /** Puts a task on a queue (dispatch_enqueue and dispatch_to_local_dsq). */
  place(task: ScxTask, wanted: Dsq, verdict: Verdict): void {
    const dsq = this.#checkTarget(task, wanted);
    if (this.consts.lateSlice) this.#storeSlice(task, verdict);
    const builtin = dsq.isLocal || dsq === this.globalDsq;
    const byVtime = this.#checkOrder(dsq, builtin, verdict.vtime !== undefined);
    if (byVtime) dsq.insertByVtime(task, task.vtime);
    else dsq.insertFifo(task, (verdict.enqFlags & (this.consts.enq.head | this.consts.enq.preempt)) !== 0n);
    if (!builtin && this.consts.custody) task.setFlags(this.consts.task.inCustody);
    if (builtin) this.#leaveCustody(task);
    task.opsState = 'none';
    if (dsq.isLocal) this.#wakeLocal(task, dsq.cpu, verdict.enqFlags);
  }

  /** A local queue takes only tasks that may run on its CPU; others go to the global one. */
  #checkTarget(task: ScxTask, dsq: Dsq): Dsq {
    if (!dsq.isLocal || dsq.cpu === task.cpu) return dsq;
    if (!task.allows(dsq.cpu)) {
      this.error(`SCX_DSQ_LOCAL[_ON] target CPU ${dsq.cpu} not allowed for ${task.label}`);
      return this.globalDsq;
    }
    task.cpu = dsq.cpu;
    return dsq;
  }

  #checkOrder(dsq: Dsq, builtin: boolean, byVtime: boolean): boolean {
    if (builtin) {
      if (byVtime) this.error('cannot use vtime ordering for built-in DSQs');
      return false;
    }
    if (dsq.tasks.length > 0 && dsq.prioritised !== byVtime) {
      const id = dsq.id.toString(16).padStart(16, '0');
      this.error(`DSQ ID 0x${id} already had ${byVtime ? 'FIFO' : 'PRIQ'}-enqueued tasks`);
      return dsq.prioritised;
    }
    return byVtime;
  }

  /** 0 keeps the slice that is there, but never 0. */
  #storeSlice(task: ScxTask, verdict: Verdict): void {
    if (verdict.slice !== 0n) task.slice = verdict.slice;
    else if (task.slice === 0n) task.slice = 1n;
    if (verdict.vtime !== undefined) task.vtime = verdict.vtime;
  }

  #leaveCustody(task: ScxTask): void {
    const { inCustody } = this.consts.task;
    if (!this.consts.custody || !task.hasFlags(inCustody)) return;
    task.clearFlags(inCustody);
    this.call('dequeue', task.cpu, [task], task, 0n);
  }

  /** local_dsq_post_enq */
  #wakeLocal(task: ScxTask, cpu: number, enqFlags: bigint): void {
    const current = this.rqs.current(cpu);
    if (current === null) this.rqs.resched(cpu);
    else if ((enqFlags & this.consts.enq.preempt) !== 0n && current !== task) {
      current.slice = 0n;
      this.rqs.resched(cpu);
    }
  }

  /** Moves the first task of a queue that may run here to the CPU's local queue (scx_consume_dispatch_q). */
  consume(dsq: Dsq, cpu: number): boolean {
    const task = dsq.tasks.find((candidate) => candidate.allows(cpu));
    if (!task) return false;
    dsq.remove(task);
    task.cpu = cpu;
    this.#leaveCustody(task);
    this.rqs.local(cpu).insertFifo(task, false);
    return true;
  }

  /** A runnable task stops being one: off its queue or out of the BPF scheduler's hands (ops_dequeue, dispatch_dequeue). */
  dequeue(task: ScxTask, deqFlags: bigint): void {
    const owned = task.opsState === 'queued' || (this.consts.custody && task.hasFlags(this.consts.task.inCustody));
    task.opsState = 'none';
    task.dsq?.remove(task);
    if (this.consts.custody) task.clearFlags(this.consts.task.inCustody);
    if (owned) this.call('dequeue', task.cpu, [task], task, deqFlags);
  }
}
