import type { ExitInfo } from './exit.js';
import { dumpContext } from './objects.js';
import { OP } from './op_names.js';
import type { ScxRq } from './rq.js';
import type { ScxSched } from './sched.js';
import type { SchedExt } from './sched_ext.js';
import { CLASS, OPSS_QUEUED, type ScxTask } from './task.js';

/** Buffer of scx_bpf_dump (SCX_EXIT_MSG_LEN). */
const LINE_BYTES = 1024;
const TRUNCATED = '\n\n~~~~ TRUNCATED ~~~~\n';
const CLASS_SYMBOLS = ['stop', 'dl', 'rt', 'fair', 'ext', 'idle'];
const QSEQ_NONE = 0;

/** Where scx_bpf_dump puts its text while a dump op runs (struct scx_dump_data). */
interface OpsDump {
  readonly out: string[];
  readonly prefix: string;
  first: boolean;
  line: string;
}

/**
 * The debug dump of a scheduler that ends with an error (scx_dump_state), in the kernel's format. Stack traces are not
 * modelled: "Backtrace:" has no lines.
 */
export class DumpWriter {
  #ops: OpsDump | null = null;

  constructor(private readonly scx: SchedExt) {}

  /** The text, cut to `length` bytes as the kernel cuts it; '' when there is nothing to dump any more. */
  dump(sched: ScxSched, exit: ExitInfo, length: number): string {
    if (sched.dumpDisabled) return '';
    const { kernel, consts, calls } = this.scx;
    const context = dumpContext(kernel, exit, this.scx.core.now, this.scx.jiffies);
    const out: string[] = [];
    const { current } = kernel;
    if (consts.subScheds) out.push(`${sched.name}: root`);
    if (exit.kind === consts.exit.none) {
      out.push(`Debug dump triggered by ${exit.reason}`);
    } else {
      const onCpu = exit.cpu >= 0 ? ` on CPU ${exit.cpu}` : '';
      out.push(`${current.label} triggered exit kind ${exit.kind}${onCpu}:`);
      out.push(`  ${exit.reason} (${exit.message})`, '', 'Backtrace:');
    }
    if (sched.has(OP.dump)) this.#collect(out, '', () => calls.call(sched, OP.dump, null, null, null, context.ptr));
    out.push('', 'CPU states', '----------');
    for (const cpu of this.#order(sched, exit)) this.#dumpCpu(sched, out, context.ptr, this.scx.rq(cpu));
    if (consts.eventNames.length > 0) {
      out.push('', 'Event counters', '--------------');
      for (const [name, count] of sched.events.entries()) {
        out.push(`${name.padStart(40)}: ${String(count).padStart(16)}`);
      }
    }
    context.free();
    return cut(`${out.join('\n')}\n`, length);
  }

  /** Stalled CPUs first, so that truncation does not lose them. */
  #order(sched: ScxSched, exit: ExitInfo): number[] {
    const first = sched.stallCpus.size > 0 ? [...sched.stallCpus] : exit.cpu >= 0 ? [exit.cpu] : [];
    return [...new Set([...first, ...this.scx.rqs.map(({ cpu }) => cpu)])];
  }

  #dumpCpu(sched: ScxSched, all: string[], context: number, rq: ScxRq): void {
    const { consts, calls } = this.scx;
    const idle = !rq.runnableFirst && rq.curr.cls === CLASS.idle;
    if (idle && !sched.has(OP.dump_cpu)) return;
    const { curr } = rq;
    const sync = consts.subScheds ? `ksync=${rq.kickSync}` : `pnt_seq=${rq.kickSync}`;
    const cpu = String(rq.cpu).padEnd(4);
    const out = [
      '',
      `CPU ${cpu}: nr_run=${rq.nrRunning} flags=0x${rq.flags.toString(16)} cpu_rel=${rq.cpuReleased ? 1 : 0} ${sync}`,
      // scx_rescue_dump: nobody is rescued where there are no sub-schedulers, nor is a budget ever funded.
      ...(consts.enq.rescue !== 0 ? ['          rescue=0 budget=0us rescuing=none[-1]'] : []),
      `          curr=${curr.label} class=${CLASS_SYMBOLS[curr.cls]}_sched_class`,
    ];
    const masks: [string, ReadonlySet<number>][] = [
      ['  cpus_to_kick   ', rq.toKick],
      ['  idle_to_kick   ', rq.toKickIfIdle],
      ['  cpus_to_preempt', rq.toPreempt],
      ['  cpus_to_wait   ', rq.toWait],
      ['  cpus_to_sync   ', new Set(rq.toSync.keys())],
    ];
    for (const [name, cpus] of masks) if (cpus.size > 0) out.push(`${name}: ${this.#bitmap((c) => cpus.has(c))}`);
    const plain = out.length;
    if (sched.has(OP.dump_cpu)) {
      this.#collect(out, '  ', () =>
        calls.call(sched, OP.dump_cpu, rq, null, null, context, this.scx.cpuArg(rq.cpu), idle),
      );
    }
    if (idle && out.length === plain) return;
    all.push(...out);
    if (curr.cls === CLASS.ext) this.#dumpTask(sched, all, context, rq, curr, '*');
    for (const task of rq.runnable) this.#dumpTask(sched, all, context, rq, task, ' ');
  }

  #dumpTask(sched: ScxSched, out: string[], context: number, rq: ScxRq, task: ScxTask, marker: string): void {
    const { consts, calls, jiffies } = this.scx;
    const waited = -Math.floor(((jiffies - task.runnableAt) * consts.jiffyNs) / 1_000_000);
    const owner = consts.subScheds ? ` ${task.sched === sched ? '*' : ''}root` : '';
    const since = `${waited < 0 ? '-' : '+'}${Math.abs(waited)}ms`;
    const state = this.scx.states.stateOf(task) >> consts.task.stateShift;
    const flags = (task.flags & ~consts.task.stateMask) >>> 0;
    const qseq = task.opsState === OPSS_QUEUED ? task.qseq : QSEQ_NONE;
    const dsqFlags = task.onPriq ? 1 : 0;
    const dsqId = task.dsq ? task.dsq.shortLabel : '(n/a)';
    out.push('', ` ${marker}${stateChar(task)} ${task.label}${owner} ${since}`);
    out.push(
      `      scx_state/flags=${state}/0x${flags.toString(16)} dsq_flags=0x${dsqFlags} ops_state/qseq=${task.opsState}/${qseq}`,
    );
    const cpus = this.#bitmap((cpu) => task.allows(cpu));
    const place = `      sticky/holding_cpu=${task.sticky}/-1 dsq_id=${dsqId}`;
    if (consts.globalDsqHash) {
      out.push(`${place} dsq_vtime=${task.vtime}`, `      cpus=${cpus}`);
    } else {
      out.push(place, `      dsq_vtime=${task.vtime} slice=${sliceText(task.slice)} weight=${task.weight}`);
      out.push(`      cpus=${cpus} no_mig=${task.migrationDisabled ? 1 : 0}`);
    }
    if (sched.has(OP.dump_task)) {
      this.#collect(out, '    ', () => calls.call(sched, OP.dump_task, rq, task, null, context, task.ptr));
    }
  }

  /** %*pb */
  #bitmap(has: (cpu: number) => boolean): string {
    const { cpus } = this.scx;
    const words: string[] = [];
    for (let first = 0; first < cpus; first += 32) {
      const bits = Math.min(32, cpus - first);
      let word = 0;
      for (let bit = 0; bit < bits; bit++) if (has(first + bit)) word |= 1 << bit;
      words.unshift((word >>> 0).toString(16).padStart(Math.ceil(bits / 4), '0'));
    }
    return words.join(',');
  }

  // ---- scx_bpf_dump

  /** Runs a dump op, whose text follows with `prefix` before each line and an empty line before the first. */
  #collect(out: string[], prefix: string, op: () => void): void {
    this.#ops = { out, prefix, first: true, line: '' };
    op();
    this.#flush(this.#ops);
    this.#ops = null;
  }

  /** scx_bpf_dump_bstr's text; false outside of the dump ops. */
  write(text: string): boolean {
    const ops = this.#ops;
    if (!ops) return false;
    ops.line = (ops.line + text).slice(0, LINE_BYTES - 1);
    if (ops.line.length >= LINE_BYTES - 1 || ops.line.endsWith('\n')) this.#flush(ops);
    return true;
  }

  get dumping(): boolean {
    return this.#ops !== null;
  }

  /** A text that could not be formatted. */
  complain(text: string): void {
    this.#ops?.out.push(this.#ops.prefix + text);
  }

  /** ops_dump_flush */
  #flush(ops: OpsDump): void {
    if (ops.line === '') return;
    if (ops.first) ops.out.push('');
    ops.first = false;
    const lines = ops.line.split('\n');
    if (lines.length > 1 && lines[lines.length - 1] === '') lines.pop();
    for (const line of lines) ops.out.push(ops.prefix + line);
    ops.line = '';
  }
}

/** The buffer of seq_buf, with its marker where the text did not fit. */
function cut(text: string, length: number): string {
  if (text.length < length) return text;
  if (length <= TRUNCATED.length) return text.slice(0, Math.max(length - 1, 0));
  return text.slice(0, length - 1 - TRUNCATED.length) + TRUNCATED;
}

/** task_state_to_char() */
function stateChar(task: ScxTask): string {
  const { state } = task.kernelTask;
  if (state === 0x402) return 'I';
  const bit = state & 0x7f;
  return bit === 0 ? 'R' : 'RSDTtXZP'[32 - Math.clz32(bit)]!;
}

function sliceText(slice: number): string {
  return slice >= 2 ** 64 ? '18446744073709551615' : String(slice);
}
