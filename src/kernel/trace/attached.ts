import { ERRNO } from '../../errno.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../../uapi.js';
import type { BpfProg } from '../prog/prog.js';

const { TRACE_RAW_TP, TRACE_FENTRY, TRACE_FEXIT, MODIFY_RETURN } = BPF_ATTACH_TYPE;

/** Most programs around one function (kernel: BPF_MAX_TRAMP_LINKS). */
const BPF_MAX_TRAMP_LINKS = 38;

/** A program at an event. */
export interface Attached {
  readonly prog: BpfProg;
  /** What bpf_get_attach_cookie gives. */
  readonly cookie: bigint;
}

type Slot = 'tracepoint' | 'fentry' | 'modifyReturn' | 'fexit';

/** Which list a program belongs to; undefined for one that is attached otherwise. */
function slotOf(prog: BpfProg): Slot | undefined {
  if (prog.type === BPF_PROG_TYPE.RAW_TRACEPOINT || prog.type === BPF_PROG_TYPE.RAW_TRACEPOINT_WRITABLE) {
    return 'tracepoint';
  }
  if (prog.type !== BPF_PROG_TYPE.TRACING) return undefined;
  switch (prog.expectedAttachType) {
    case TRACE_RAW_TP:
      return 'tracepoint';
    case TRACE_FENTRY:
      return 'fentry';
    case MODIFY_RETURN:
      return 'modifyReturn';
    case TRACE_FEXIT:
      return 'fexit';
    default:
      return undefined;
  }
}

/** Programs at one tracepoint or around one function, in the order in which they run. */
export class AttachedProgs {
  /** tp_btf and raw_tp. */
  readonly tracepoint: Attached[] = [];
  readonly fentry: Attached[] = [];
  readonly modifyReturn: Attached[] = [];
  readonly fexit: Attached[] = [];

  get empty(): boolean {
    return this.tracepoint.length + this.#around === 0;
  }

  get #around(): number {
    return this.fentry.length + this.modifyReturn.length + this.fexit.length;
  }

  /**
   * 0, -EINVAL for programs that are not attached so, -E2BIG if there is no room for one more, -EBUSY for one that is there
   * already (kernel: bpf_trampoline_add_prog).
   */
  add(attached: Attached): number {
    const slot = slotOf(attached.prog);
    if (!slot) return -ERRNO.EINVAL;
    if (slot !== 'tracepoint') {
      if (this.#around >= BPF_MAX_TRAMP_LINKS) return -ERRNO.E2BIG;
      if (this[slot].some(({ prog }) => prog === attached.prog)) return -ERRNO.EBUSY;
    }
    this[slot].push(attached);
    return 0;
  }

  remove(attached: Attached): void {
    for (const list of [this.tracepoint, this.fentry, this.modifyReturn, this.fexit]) {
      const at = list.indexOf(attached);
      if (at >= 0) list.splice(at, 1);
    }
  }
}
