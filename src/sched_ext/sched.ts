import type { ArenaMap } from '../kernel/map/arena.js';
import type { Kdata, StructOpsCallable } from '../kernel/types.js';
import { hasFlag } from './bits.js';
import { LiveOp, type OpCalls } from './call.js';
import type { CidTables } from './cid.js';
import type { ScxConsts } from './consts.js';
import { BUILTIN_HI, BYPASS_LO, DSQ_BYPASS, DSQ_GLOBAL, Dsq, GLOBAL_LO } from './dsq.js';
import type { DsqTable } from './dsq_table.js';
import { Events } from './events.js';
import { type ExitInfo, exitInfo } from './exit.js';
import { opOf, type ScxForm } from './forms.js';
import { OP, OP_NAMES, type Op, type OpName } from './op_names.js';
import type { ScxTask } from './task.js';
import type { Topology } from './topology.js';

/** An insert of ops.dispatch, kept until the op returns or moves tasks (struct scx_dsp_buf_ent). */
export interface BufferedInsert {
  task: ScxTask | null;
  qseq: number;
  dsqHi: number;
  dsqLo: number;
  enqFlags: number;
  slice: number;
  vtimeHi: number;
  vtimeLo: number;
  byVtime: boolean;
}

/** A loaded scheduler (kernel: struct scx_sched; on 6.12 globals of ext.c): its ops, queues, counters and reason to go. */
export class ScxSched {
  readonly name: string;
  /** SCX_OPS_*. */
  readonly flags: number;
  readonly timeoutMs: number;
  readonly exitDumpLen: number;
  /** By the cpu form's names; all of them, whether they may be called already or not. */
  readonly ops: Readonly<Partial<Record<OpName, StructOpsCallable>>>;
  /** What may be called by now, by OP: hotplug ops before the others, nothing any more at the end (sch->has_op). */
  readonly live: (LiveOp | undefined)[] = OP_NAMES.map(() => undefined);
  readonly events: Events;
  /** By node. */
  readonly globalDsqs: readonly Dsq[];
  /** By CPU [N]. */
  readonly bypassDsqs: readonly Dsq[];
  /** ns of a slice that the kernel hands out. */
  sliceDefault: number;

  /** Inserts of the running ops.dispatch; entries are used again. */
  readonly buffer: BufferedInsert[];
  cursor = 0;
  /** Tasks that the present round of ops.dispatch has dispatched. */
  dispatched = 0;
  /** CPU that ops.dispatch runs for. */
  dispatchCpu = 0;

  /** Set by the first claim; what comes later is ignored (scx_claim_exit). */
  exit: ExitInfo | null = null;
  /** The disable work has begun: exit_kind is SCX_EXIT_DONE. */
  exitDone = false;
  /** A program that was stopped by a fault: no kernel gets that far, so it stands beside `exit`. */
  fault: unknown;
  /** ops.init has succeeded. */
  initialized = false;
  /** Its ops take CPUs back from higher classes: cpu_acquire or cpu_release exists (SCX_OPS_HAS_CPU_PREEMPT). */
  cpuPreempt = false;
  /** No task is under it any more: there is nothing to dump. */
  dumpDisabled = false;
  /** ops.exit has returned: programs of its own that still run belong to nobody. */
  dead = false;
  warnedUnassociated = false;
  warnedZeroSlice = false;
  bypassedSince = 0;
  /** CPUs that a lockup or stall was seen on; dumped first. */
  readonly stallCpus = new Set<number>();
  /** Who is told of the first claim. */
  onClaim: ((sched: ScxSched) => void) | null = null;

  /** Its layout of CPU ids, which ops.init_cids may change before others see it. */
  cids: CidTables | null = null;

  constructor(
    readonly kdata: Kdata,
    readonly consts: ScxConsts,
    topology: Topology,
    /** Its user queues. */
    readonly dsqs: DsqTable,
    readonly form: ScxForm = 'cpu',
    /** Of a cid-form scheduler. */
    readonly arena: ArenaMap | null = null,
  ) {
    const ops: Partial<Record<OpName, StructOpsCallable>> = {};
    for (const [member, op] of Object.entries(kdata.ops)) if (op) ops[opOf(member) as OpName] = op;
    this.ops = ops;
    this.name = String(kdata.get('name'));
    this.flags = Number(kdata.get('flags'));
    this.timeoutMs = Number(kdata.get('timeout_ms')) || consts.maxTimeoutMs;
    this.exitDumpLen = Number(kdata.get('exit_dump_len')) || consts.exitDumpLen;
    this.sliceDefault = consts.sliceDefault;
    const batch = Number(kdata.get('dispatch_max_batch')) || consts.maxBatch;
    this.buffer = Array.from({ length: Math.min(batch, MAX_PREALLOCATED) }, newEntry);
    this.maxBatch = batch;
    this.events = new Events(consts.eventNames);
    this.globalDsqs = Array.from({ length: topology.nrNodes }, () =>
      this.#own(new Dsq(DSQ_GLOBAL, BUILTIN_HI, GLOBAL_LO)),
    );
    this.bypassDsqs = Array.from({ length: topology.cpus }, (_, cpu) =>
      this.#own(new Dsq(DSQ_BYPASS, BUILTIN_HI, BYPASS_LO, cpu)),
    );
  }

  /** Inserts that one round of ops.dispatch may make. */
  readonly maxBatch: number;

  #own(dsq: Dsq): Dsq {
    dsq.sched = this;
    return dsq;
  }

  /** An op may be called from now on. */
  setLive(op: OpName, calls: OpCalls): void {
    const callable = this.ops[op];
    if (callable) this.live[OP[op]] = new LiveOp(OP[op], callable, this, calls);
  }

  has(op: Op): boolean {
    return this.live[op] !== undefined;
  }

  wants(flag: number): boolean {
    return hasFlag(this.flags, flag);
  }

  /** The next free entry of the dispatch buffer; null when it is full. */
  nextEntry(): BufferedInsert | null {
    if (this.cursor >= this.maxBatch) return null;
    if (this.cursor >= this.buffer.length) this.buffer.push(newEntry());
    return this.buffer[this.cursor++]!;
  }

  // ---- Exit

  /** False if somebody else was first. */
  claimExit(kind: number, code: bigint, message: string, cpu = -1): boolean {
    if (this.exit) return false;
    this.exit = exitInfo(this.consts, kind, code, message, this.consts.exitCpu ? cpu : -1);
    // A fault says itself where it was.
    const place = kind === this.consts.exit.error && this.fault === undefined ? this.errorPlace() : undefined;
    if (place !== undefined) this.exit.place = place;
    this.onClaim?.(this);
    return true;
  }

  /** A mistake of the scheduler, which ends it (scx_error). */
  error(message: string, cpu = this.errorCpu()): void {
    this.claimExit(this.consts.exit.error, 0n, message, cpu);
  }

  /** raw_smp_processor_id() of whoever claims. */
  errorCpu: () => number = () => -1;
  /** What the kernel is about, for errors that it finds. */
  errorPlace: () => string | undefined = () => undefined;

  /** False and an error for a CPU number that does not exist (ops_cpu_valid). */
  validCpu(cpu: number, where?: string): boolean {
    if (cpu >= 0 && cpu < this.bypassDsqs.length) return true;
    this.error(`invalid CPU ${cpu}${where ? ` ${where}` : ''}`);
    return false;
  }
}

/** A batch may have 2^31 - 1 inserts; memory for them comes as they do. */
const MAX_PREALLOCATED = 64;

function newEntry(): BufferedInsert {
  return {
    task: null,
    qseq: 0,
    dsqHi: 0,
    dsqLo: 0,
    enqFlags: 0,
    slice: 0,
    vtimeHi: 0,
    vtimeLo: 0,
    byVtime: false,
  };
}
