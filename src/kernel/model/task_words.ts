import { WINDOW_BASE } from '../../../assembly/abi.js';
import { UnsupportedError } from '../../errors.js';
import type { Core } from '../../vm/core.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Field } from '../view.js';
import type { TaskFields } from './task_fields.js';

const TWO_32 = 0x1_0000_0000;

/**
 * Where the numbers of a task_struct lie that change with each wake-up and switch: as places among the u32 of linear memory, from
 * that of the struct on (`of`). Writing one is a store; only for structs that the kernel's model has allocated itself.
 */
export class TaskWords {
  readonly cpu: number;
  readonly state: number;
  readonly flags: number;
  readonly nrCpusAllowed: number;
  readonly execStart: number;
  readonly sumExecRuntime: number;
  /** In bytes: 0 or 1, of one byte or, before 7.0, of four. */
  readonly onCpu: number;
  readonly onRq: number;
  /** struct sched_info; undefined in a kernel without CONFIG_SCHED_INFO. */
  readonly info: Readonly<Record<'pcount' | 'runDelay' | 'lastArrival' | 'lastQueued', number>> | undefined;
  /** Undefined in a kernel without sched_ext. */
  readonly scx: ScxWords | undefined;

  constructor(
    private readonly core: Core,
    fields: TaskFields,
  ) {
    this.cpu = word(fields.infoCpu, 4);
    this.state = word(fields.state, 4);
    this.flags = word(fields.flags, 4);
    this.nrCpusAllowed = word(fields.nrCpusAllowed, 4);
    this.execStart = word(fields.execStart, 8);
    this.sumExecRuntime = word(fields.sumExecRuntime, 8);
    this.onCpu = fields.onCpu.offset;
    this.onRq = fields.onRq.offset;
    const { infoPcount, infoRunDelay, infoLastArrival, infoLastQueued } = fields;
    this.info =
      infoPcount && infoRunDelay && infoLastArrival && infoLastQueued
        ? {
            pcount: word(infoPcount, 8),
            runDelay: word(infoRunDelay, 8),
            lastArrival: word(infoLastArrival, 8),
            lastQueued: word(infoLastQueued, 8),
          }
        : undefined;
    this.scx = fields.scx && {
      flags: word(fields.scx.flags, 4),
      stickyCpu: word(fields.scx.stickyCpu, 4),
      selectedCpu: fields.scx.selectedCpu ? word(fields.scx.selectedCpu, 4) : -1,
      runnableAt: word(fields.scx.runnableAt, 8),
      ddspDsqId: word(fields.scx.ddspDsqId, 8),
      ddspEnqFlags: word(fields.scx.ddspEnqFlags, 8),
      slice: word(fields.scx.slice, 8),
      dsqVtime: word(fields.scx.dsqVtime, 8),
    };
  }

  /** Place of the u32 that a task_struct begins with. */
  of(ptr: GuestPtr): number {
    return (ptr + WINDOW_BASE) >>> 2;
  }

  get(at: number): number {
    return this.core.u32[at] as number;
  }

  set(at: number, value: number): void {
    this.core.u32[at] = value;
  }

  /** The lowest byte of a flag; `task` is the place of the struct. */
  setFlag(task: number, offset: number, on: boolean): void {
    this.core.u8[4 * task + offset] = on ? 1 : 0;
  }

  /** A u64 as a Number, rounded from 2^53 on. */
  get64(at: number): number {
    const { u32 } = this.core;
    const high = u32[at + 1] as number;
    const low = u32[at] as number;
    return high === 0 ? low : high * TWO_32 + low;
  }

  /** An integer as a u64; -1 sets all bits. */
  set64(at: number, value: number): void {
    const { u32 } = this.core;
    u32[at] = value;
    u32[at + 1] = value >= 0 && value < TWO_32 ? 0 : Math.floor(value / TWO_32);
  }
}

/** The same of its struct sched_ext_entity. */
export interface ScxWords {
  readonly flags: number;
  readonly stickyCpu: number;
  /** -1 where there is none. */
  readonly selectedCpu: number;
  readonly runnableAt: number;
  readonly ddspDsqId: number;
  readonly ddspEnqFlags: number;
  readonly slice: number;
  readonly dsqVtime: number;
}

function word({ path, offset, size }: Field, bytes: number): number {
  if (size !== bytes || offset % 4 !== 0) {
    throw new UnsupportedError(`struct task_struct: field ${path} of ${size} bytes at ${offset}: no kernel has it so`);
  }
  return offset >>> 2;
}
